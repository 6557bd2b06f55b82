"""Lines of the log that each connection has: they must cost little."""

from time import time
from typing import Final

from twisted.logger import Logger, LogLevel

_LEVEL: Final = LogLevel.info


class Notes:
    """Tells the log what `Logger.info` would, without its looking for mistakes."""

    def __init__(self, namespace: str) -> None:
        logger = Logger(namespace)
        self._observer = logger.observer
        self._same = {
            "log_logger": logger,
            "log_level": _LEVEL,
            "log_namespace": namespace,
            "log_source": None,
        }

    def info(self, template: str, **fields: object) -> None:
        """Emit an event of this text, with the fields put in."""
        self._observer(
            {**fields, **self._same, "log_format": template, "log_time": time()}
        )
