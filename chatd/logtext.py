"""The log on the standard output: the lines that Twisted writes there, made faster.

A login writes two lines. To format them the way Twisted does, and to write each by
itself, took as long as all else that a login is.
"""

import sys
from typing import IO, Any, Final

from twisted.logger import (
    ILogObserver,
    LogEvent,
    formatEventAsClassicLogText,
    formatTime,
)
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

_UNUSUAL: Final = frozenset({"log_failure", "log_system", "log_flattened"})
"""What makes a line look different."""


class LogText:
    """Formats events as `formatEventAsClassicLogText` does, byte by byte."""

    def __init__(self) -> None:
        self._second = -1
        self._stamp = ""

    def line(self, event: LogEvent) -> str | None:
        """Return an event's line; None for one that says nothing."""
        template = event.get("log_format")
        if type(template) is not str or not _UNUSUAL.isdisjoint(event):
            return formatEventAsClassicLogText(event)
        try:
            text = template.format_map(event)
            level, namespace = event["log_level"].name, event["log_namespace"]
            stamp = self._stamp_of(event["log_time"])
        except Exception:  # Twisted says what it can
            return formatEventAsClassicLogText(event)
        if not text:
            return None
        if "\n" in text:
            text = text.replace("\n", "\n\t")
        return f"{stamp} [{namespace}#{level}] {text}\n"

    def _stamp_of(self, time: float) -> str:
        second = int(time)
        if second != self._second:
            # Only when it is known: a failure leaves what was there.
            self._stamp = formatTime(second)
            self._second = second
        return self._stamp


@implementer(ILogObserver)
class LogFile:
    """Writes events to a file: those of one turn of the reactor at its end."""

    def __init__(self, file: IO[str], reactor: Any) -> None:
        self._file = file
        self._reactor = reactor
        self._text = LogText()
        self._lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        """Write an event (`ILogObserver`)."""
        line = self._text.line(event)
        if line is None:
            return
        if not isInIOThread():
            self._write(line)
        elif not self._reactor.running:
            self._lines.append(line)
            self._flush()
        else:
            if not self._lines:
                self._reactor.callLater(0, self._flush)
            self._lines.append(line)

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self._write("".join(lines))

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()


def standard_output() -> LogFile:
    """Return what writes to the standard output, as it is now."""
    from twisted.internet import reactor

    return LogFile(sys.stdout, reactor)
