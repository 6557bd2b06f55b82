"""The lines of the log on the standard output are those that Twisted writes."""

import io
import sys
from typing import Any

import pytest
from twisted.logger import (
    FileLogObserver,
    LogEvent,
    Logger,
    LogLevel,
    formatEventAsClassicLogText,
)
from twisted.python.failure import Failure

from chatd.accounts import Origin
from chatd.logtext import LogText, standard_output
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


def test_lines_go_to_what_is_the_standard_output_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    standard_output()(event("{name} came", name="alice"))
    assert written.getvalue().endswith(" [chatd.test#warn] alice came\n")
    assert isinstance(standard_output(), FileLogObserver)


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
