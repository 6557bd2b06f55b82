"""The lines of the log on the standard output are those that Twisted writes."""

import io
import sys
from threading import Thread
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import (
    LogEvent,
    Logger,
    LogLevel,
    formatEventAsClassicLogText,
    globalLogPublisher,
)
from twisted.python.failure import Failure

from chatd.accounts import Origin
from chatd.logtext import LogFile, LogText, standard_output
from chatd.notes import Notes
from chatd.tap import Options


def event(template: Any, **fields: Any) -> LogEvent:
    events: list[LogEvent] = []
    Logger("chatd.test", observer=events.append).warn(template, **fields)
    return events[0]


def failed() -> Failure:
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        return Failure()


@pytest.mark.parametrize(
    "told",
    [
        event("{name} came", name="alice"),
        event(
            "{name} came from {origin}{how}",
            name="{alice}",
            origin=Origin("2001:db8::1", 4000, False),
            how="",
        ),
        event("two\nlines"),
        event("{{braces}}"),
        event(""),
        event(None),
        event("{called()}", called=lambda: "called"),
        event("{missing}"),
        event("{0.5:bad}"),
        event(b"bytes {name}", name="alice"),
        event("it failed", log_failure=failed()),
        event("of another system", log_system="twisted"),
        {"log_format": "no level", "log_time": 1.0},
        {"log_format": "no time", "log_level": LogLevel.info, "log_namespace": "n"},
    ],
)
def test_a_line_is_the_one_that_twisted_writes(told: LogEvent) -> None:
    text = LogText()
    for moment in (1_795_000_000.0, 1_795_000_000.9, 1_795_000_001.0):
        if "log_time" in told:
            told["log_time"] = moment
        assert text.line(told) == formatEventAsClassicLogText(told)


class Turns(Clock):
    """A reactor that runs, or does not."""

    def __init__(self, *, running: bool) -> None:
        super().__init__()
        self.running = running


def test_the_lines_of_a_turn_are_written_together_at_its_end() -> None:
    reactor, written = Turns(running=True), io.StringIO()
    log = LogFile(written, reactor)
    log(event("one"))
    log(event("two"))
    assert written.getvalue() == ""
    reactor.advance(0)
    assert [line[-4:] for line in written.getvalue().splitlines()] == [" one", " two"]
    assert reactor.getDelayedCalls() == []


def test_before_and_after_the_reactor_runs_each_line_is_written_at_once() -> None:
    reactor, written = Turns(running=True), io.StringIO()
    log = LogFile(written, reactor)
    log(event("one"))
    reactor.running = False
    log(event("two"))
    assert [line[-4:] for line in written.getvalue().splitlines()] == [" one", " two"]
    reactor.advance(0)
    assert written.getvalue().count("\n") == 2


def test_a_line_of_another_thread_is_written_at_once() -> None:
    reactor, written = Turns(running=True), io.StringIO()
    log = LogFile(written, reactor)
    thread = Thread(target=log, args=(event("one"),))
    thread.start()
    thread.join()
    assert written.getvalue().endswith(" one\n")
    assert reactor.getDelayedCalls() == []


def test_lines_go_to_what_is_the_standard_output_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    log = standard_output()
    log._reactor = Turns(running=False)
    log(event("{name} came", name="alice"))
    assert written.getvalue().endswith(" [chatd.test#warn] alice came\n")


def test_a_note_is_the_event_that_a_logger_makes() -> None:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        Notes("chatd.test").info("{name} came", name="alice")
        Logger("chatd.test").info("{name} came", name="alice")
    finally:
        globalLogPublisher.removeObserver(events.append)
    for each in events:
        del each["log_logger"], each["log_time"]
    assert events[0] == events[1]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"nodaemon": True, "logfile": None}, True),
        ({"nodaemon": True, "logfile": "-"}, True),
        ({"nodaemon": True, "logfile": "chatd.log"}, False),
        ({"nodaemon": True, "logfile": None, "syslog": True}, False),
        ({"nodaemon": False, "logfile": None}, False),
    ],
)
def test_it_takes_the_place_of_twistds_own_only_there(
    given: dict[str, Any], taken: bool
) -> None:
    options = Options()
    options.parent = given
    options.parseOptions([])
    assert ("logger" in given) == taken


def test_who_wants_another_log_has_it() -> None:
    options = Options()
    options.parent = {"nodaemon": True, "logfile": None, "logger": "some.other"}
    options.parseOptions([])
    assert options.parent["logger"] == "some.other"
