"""Pins: the certificate that a person has accepted for each server, in a file.

Each line has a server as ``host:port``, a space and the certificate's fingerprint.
"""

import os
import tempfile
from pathlib import Path
from typing import Final

from chatd.client.history.places import HistoryError, data_folder
from chatd.fingerprint import parse_fingerprint
from chatd.wire.display import neutralise

FILE: Final = "known_servers"


class PinError(Exception):
    """The file cannot be used; str() is one line that says why."""

    def __init__(self, line: str) -> None:
        super().__init__(neutralise(line))


def pins_path() -> Path | None:
    """Return where pins are kept, None where the user has no folder of their own."""
    try:
        return data_folder() / FILE
    except HistoryError:
        return None


class Pins:
    """The pins in a file; without a path there are none, and none can be kept.

    Raises `PinError` if there is a file and it cannot be read: to go on as if there
    were none would be to trust anybody.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._pins = {} if path is None else _read(path)

    def of(self, server: str) -> str | None:
        """Return the fingerprint that was accepted for a server."""
        return self._pins.get(server.lower())

    def keep(self, server: str, fingerprint: str) -> None:
        """Keep a fingerprint, instead of one that there may be. Raises `PinError`.

        It counts in this run even if it cannot be written.
        """
        self._pins[server.lower()] = fingerprint
        if self._path is None:
            raise PinError("There is no folder for it: this user has no home.")
        try:
            # Another chat may have written meanwhile.
            pins = _read(self._path) | {server.lower(): fingerprint}
            _write(self._path, pins)
        except OSError as error:
            raise PinError(f"{self._path}: {error.strerror}.") from None


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise PinError(f"{path} cannot be read: {error.strerror}.") from None
    pins = {}
    for number, line in enumerate(lines, 1):
        server, _, fingerprint = line.strip().partition(" ")
        try:
            pins[server.lower()] = parse_fingerprint(fingerprint)
        except ValueError as error:
            raise PinError(f"{path}, line {number}: {error}.") from None
    return pins


def _write(path: Path, pins: dict[str, str]) -> None:
    """Replace the file, such that it is whole at any moment, and its owner's only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, new = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{server} {pin}\n" for server, pin in pins.items())
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
