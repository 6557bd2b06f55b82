"""What a login finds."""

from typing import NamedTuple

from chatd.accounts import Origin
from chatd.hub.gate import Gate
from chatd.hub.online import NameList
from chatd.hub.realm import LoggedIn
from chatd.hub.session import Session
from chatd.wire import text


class Entrance(NamedTuple):
    """What a login finds: the session, whether the name is new, and who there is.

    `remark` is a line about the name's password, if there is anything to say;
    `is_open` is whether the name has none, and could have one.
    """

    session: Session
    new: bool
    users: NameList
    online: NameList
    is_open: bool
    remark: str | None


def remark_on(gate: Gate, found: LoggedIn, origin: Origin) -> str | None:
    """Return a line about the name's password, if there is anything to say."""
    name = found.session.name
    known = gate.password_set(found)
    if known is not None:
        return text.password_was_set(name, known.time, known.address)
    if gate.may_be_protected(found):
        return text.open_name(name, private=gate.may_ask(origin))
    return None
