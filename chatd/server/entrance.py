"""What a login finds."""

from dataclasses import dataclass

from chatd.hub.hub import NameList
from chatd.hub.session import Session


@dataclass(frozen=True, slots=True)
class Entrance:
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
