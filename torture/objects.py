"""What the JSON players share: objects as lines, and a connection that speaks them."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from torture.link import Link

ACK: Final = "ack"
RESEND: Final = "resend"
"""Features in the daemon's ``hello``."""

CLOSING: Final = ("shutting-down", "login-timeout")
"""Codes with which the daemon closes; a clock that is set forth ends every wait."""

Object = dict[str, Any]


async def say(link: Link, *objects: Object) -> bool:
    """Write objects; return whether that went well."""
    return await link.write(
        "".join(f"{json.dumps(each)}\n" for each in objects).encode()
    )


async def log_in(link: Link, user: str, **fields: object) -> bool:
    """Ask for JSON, and log in, in one go."""
    login = json.dumps({"type": "login", "user": user, **fields})
    return await link.write(f"/json torture\n{login}\n".encode())


async def objects(link: Link) -> AsyncIterator[Object]:
    """Yield the objects that come; what is none has the type "" and is in "line"."""
    prompt = True
    async for line in link.lines():
        if prompt:
            prompt = False
            continue
        found: object = None
        with suppress(ValueError):
            found = json.loads(line)
        if isinstance(found, dict) and isinstance(found.get("type"), str):
            yield found
        else:
            yield {"type": "", "line": line}


async def features(link: Link) -> frozenset[str]:
    """Ask a daemon what it can do."""
    await link.write(b"/json torture\n")
    async for each in objects(link):
        if each["type"] == "hello":
            return frozenset(each.get("features", ()))
    return frozenset()
