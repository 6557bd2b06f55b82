"""The SQL statements of the store: they lie in queries/*.sql, one a file."""

from importlib import resources
from typing import Final

_STATEMENTS: Final = {
    file.name.removesuffix(".sql"): file.read_text(encoding="utf-8")
    for file in (resources.files(__package__) / "queries").iterdir()
    if file.name.endswith(".sql")
}
"""All of them now: an upgrade replaces the files under a daemon that runs."""


def sql(name: str) -> str:
    """Return the statement in queries/`name`.sql."""
    return _STATEMENTS[name]
