"""The log on the standard output: the lines that Twisted writes there, made faster.

A login writes two lines. To format them the way Twisted does took as long as all else
that a login is.
"""

import sys
from typing import Final

from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LogEvent,
    formatEventAsClassicLogText,
    formatTime,
)

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


def standard_output() -> ILogObserver:
    """Return what writes to the standard output, as it is now."""
    observer: ILogObserver = FileLogObserver(sys.stdout, LogText().line)
    return observer
