"""The fields of a JSON object that somebody sent, each looked at before it is used.

What is wrong is refused as ``bad-json`` or ``bad-field``, with the reason.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from chatd.wire.answers import Refusal

MAX_NESTING: Final = 16
MAX_ID: Final = 64


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
"""What reads JSON; it takes what is no JSON, as NaN, for an error."""


def read_object(line: str) -> dict[str, Any]:
    """Return the object that a line is. Raises `Refusal`: bad-json."""
    try:
        value = DECODER.decode(line)
    except RecursionError:
        raise Refusal("bad-json", reason="nested too deeply") from None
    except ValueError:
        raise Refusal("bad-json", reason="it cannot be parsed") from None
    if not isinstance(value, dict):
        raise Refusal("bad-json", reason="it is another kind of value")
    brackets = line.count("{") + line.count("[")
    if brackets > MAX_NESTING and _nesting(value) > MAX_NESTING:
        raise Refusal("bad-json", reason="nested too deeply")
    if "\\u" in line:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Refusal("bad-json", reason="it has a lone surrogate") from None
    return value


def _nesting(value: object) -> int:
    """Return how deeply lists and objects are nested, without recursion."""
    depth = 0
    level: list[object] = [value]
    while level:
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        if not any(isinstance(each, dict | list) for each in level):
            break
        depth += 1
        level = inner
    return depth


def string(fields: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """Return a string; without a default it must be there."""
    value = fields.get(key, default)
    if value is None:
        raise Refusal("bad-field", field=key, reason="it is missing")
    if not isinstance(value, str):
        raise Refusal("bad-field", field=key, reason="it must be a string")
    return value


def flag(fields: Mapping[str, Any], key: str, default: bool) -> bool:
    """Return what is true or false."""
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise Refusal("bad-field", field=key, reason="it must be true or false")
    return value


def strings(fields: Mapping[str, Any], key: str, reason: str) -> list[str]:
    """Return a list of strings that must be there; if it is none, `reason` says so."""
    if key not in fields:
        raise Refusal("bad-field", field=key, reason="it is missing")
    value = fields[key]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Refusal("bad-field", field=key, reason=reason)
    return value


def check_required(fields: Mapping[str, Any], known: Iterable[str]) -> None:
    """Look whether all in ``require`` is `known`. Raises `Refusal`: unsupported too."""
    required = fields.get("require", [])
    if not isinstance(required, list) or not all(
        isinstance(key, str) for key in required
    ):
        reason = "it must be a list of strings"
        raise Refusal("bad-field", field="require", reason=reason)
    for key in required:
        if key not in known:
            raise Refusal("unsupported", key=key[:MAX_ID])
