"""Where histories are: one file for each user, in a folder or where a person says."""

from pathlib import Path
from typing import Final

import platformdirs

from chatd.wire.display import neutralise
from chatd.wire.names import Name

_PREFIX: Final = "chat_history_"
_SUFFIX: Final = ".db"


class HistoryError(Exception):
    """The history cannot be used; str() is one line that says why."""

    def __init__(self, line: str) -> None:
        super().__init__(neutralise(line))


def data_folder() -> Path:
    """Return the folder where histories are, unless the person names a file.

    Raises `HistoryError` where the user has no folder of their own.
    """
    try:
        folder = platformdirs.user_data_path("chatd", appauthor=False)
    except RuntimeError:  # how newer versions say that there is no home
        folder = Path()
    if not folder.is_absolute():
        raise HistoryError(
            "There is no folder for the history: this user has no home. Set HOME, or"
            " name a file with --history."
        )
    return folder


def history_path(user: Name, given: Path | None = None) -> Path:
    """Return the file of a user's history.

    `given` is what the person named: the file itself, or a folder for it. Raises
    `HistoryError`.
    """
    if given is not None and not given.is_dir():
        return given
    folder = data_folder() if given is None else given
    # Names have letters, digits, "_" and "." only: they cannot lead elsewhere.
    return folder / f"{_PREFIX}{user.key}{_SUFFIX}"


def histories(folder: Path) -> list[tuple[str, Path]]:
    """Return the users with a history in a folder, the one used last first."""
    found = []
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        user = path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        found.append((_last_used(path), user, path))
    return [(user, path) for _, user, path in sorted(found, reverse=True)]


def history_shown(user: Name | None, given: Path | None) -> tuple[Path, list[str]]:
    """Return the history to be shown, and whose are there: its user, then the others.

    Without a user it is the one used last; of a file that `given` names, nobody is
    known. Raises `HistoryError`, also where there is none.
    """
    if user is not None:
        return history_path(user, given), [user.shown]
    if given is not None and not given.is_dir():
        return given, []
    folder = data_folder() if given is None else given
    found = histories(folder)
    if not found:
        raise HistoryError(f"There is no history in {folder}.")
    return found[0][1], [name for name, _ in found]


def _last_used(path: Path) -> float:
    latest = 0.0
    for file in (path, path.with_name(f"{path.name}-wal")):
        try:
            latest = max(latest, file.stat().st_mtime)
        except OSError:
            continue
    return latest
