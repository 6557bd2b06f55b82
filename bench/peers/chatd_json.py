"""chatd in its JSON form: ids on all messages, and acknowledgements."""

import json
from typing import Any

from harness.connection import Connection
from peers.chatd import Chatd


class ChatdJson(Chatd):
    """The same daemon. Each message has its sender's id, and is acknowledged."""

    name = "chatd JSON"
    can = frozenset({"acknowledged"})
    delivery_mark = b'"queued":false}\n'
    answer_mark = b'"status":"delivered"}\n'
    stored_mark = b'"status":"stored"}\n'
    kept_mark = b'"queued":true}\n'

    def hello(self, name: str) -> bytes:
        """Turn to JSON, and log in."""
        return _log_in(name)

    def finish(self, connection: Connection, name: str) -> None:
        """Read up to the welcome."""
        came = connection.read_past(b'"type":"welcome"')
        if not came.endswith(b"\n"):
            connection.read_until(b"\n")

    def log_in_to_send(self, connection: Connection, name: str) -> None:
        """Log in to send only."""
        connection.write(_log_in(name, receive=False))
        self.finish(connection, name)

    def message(self, sender: str, target: str, text: bytes, number: int) -> bytes:
        """Return an object, with an id that is higher than those before."""
        return b'{"type":"send","to":"%b","text":"%b","id":"%b.%07d"}\n' % (
            *(target.encode(), text),
            *(sender.encode(), number),
        )

    def acknowledge(self, inbox: Connection, before: int, after: int) -> bytes:
        """Return an acknowledgement of the last message that came."""
        data = inbox.inbox
        end = data.rfind(b"\n", 0, inbox.filled)
        start = data.rfind(b'"seq":', 0, end) + len(b'"seq":')
        seq = bytes(data[start : data.index(b",", start)])
        return b'{"type":"ack","seq":%b}\n' % seq


def _log_in(name: str, **more: Any) -> bytes:
    fields = {"type": "login", "user": name, **more}
    return f"/json\n{json.dumps(fields)}\n".encode()
