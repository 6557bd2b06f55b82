"""Each guarantee, and how to break it: one small change to the source of chatd."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Change:
    """A passage of a file, which occurs once in it, and what comes in its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Sabotage:
    """What breaks one guarantee.

    `fault` names what the torture has to do to show it; it is None where the model,
    which is faster, shows it.
    """

    name: str
    breaks: str
    changes: tuple[Change, ...]
    fault: str | None = None


SABOTAGES: Final = (
    Sabotage(
        "answer before commit",
        "nothing that was said to be safe is lost",
        (
            Change(
                "chatd/journal.py",
                "        self._under_way = True\n"
                "        self._entries_under_way = entries\n",
                "        self._under_way = True\n"
                "        for entry in entries:\n"
                "            self._settle(entry, None)\n"
                "        self._entries_under_way = entries\n",
            ),
            Change(
                "chatd/journal.py",
                "                self._settle(entry, None)\n        self._entries",
                "                pass\n        self._entries",
            ),
        ),
    ),
    Sabotage(
        "delete on write",
        "a message leaves the queue only when the receiver has it",
        (
            Change(
                "chatd/hub/delivery.py",
                "        self._position = position\n        self._receiver.shown",
                "        self._position = position\n"
                "        self._receiver.confirm(position)\n"
                "        self._receiver.shown",
            ),
        ),
    ),
    Sabotage(
        "delivered when written",
        "delivered means that the receiver's machine has it",
        (
            Change(
                "chatd/server/gauges.py",
                "        return acknowledged if acknowledged < written else written",
                "        return written",
            ),
        ),
        "cut",
    ),
    Sabotage(
        "live before the queue is empty",
        "a connection gets its queue first, then what is new",
        (
            Change(
                "chatd/hub/delivery.py",
                "            if self._position >= receiver.committed:\n"
                "                if self._turn_live():",
                "            if True:\n                if self._turn_live():",
            ),
        ),
    ),
    Sabotage(
        "live without what is in memory",
        "what is accepted and not yet on disk is written before a connection is live",
        (
            Change(
                "chatd/hub/delivery.py",
                "self._write_unsettled(receiver.unsettled_after(self._position)):",
                "self._write_unsettled([]):",
            ),
        ),
    ),
    Sabotage(
        "memory with a gap",
        "what is in memory follows on what was written, with nothing between",
        (
            Change(
                "chatd/hub/recent.py",
                "        if after < self._after:\n",
                "        if False:\n",
            ),
        ),
    ),
    Sabotage(
        "no id check",
        "what is sent again under its id is not sent twice",
        (
            Change(
                "chatd/hub/session.py",
                "            if earlier is not None:\n",
                "            if False:\n",
            ),
        ),
    ),
    Sabotage(
        "ids forgotten by a restart",
        "what is sent again after a crash is not stored twice",
        (
            Change(
                "chatd/hub/resends.py",
                "        return self.highest is None or id <= self.highest\n",
                "        return False\n",
            ),
        ),
    ),
    Sabotage(
        "position from the clock",
        "order is the order of acceptance, whatever the time",
        (
            Change(
                "chatd/store/store.py",
                "        first = self.last_position + 1\n",
                "        import time\n\n        first = time.time_ns()\n",
            ),
        ),
        "clock",
    ),
    Sabotage(
        "out of order after an error",
        "what follows a message that was refused for a time is refused, too",
        (
            Change(
                "chatd/hub/session.py",
                "        return acceptance.message.position <= failed\n",
                "        return False\n",
            ),
        ),
    ),
    Sabotage(
        "reconsidered too late",
        "what waits behind a refused message is shown to nobody",
        (
            Change(
                "chatd/journal.py",
                "        self._reconsider_waiting()\n",
                "        self._clock.callLater(0, self._reconsider_waiting)\n",
            ),
        ),
    ),
    Sabotage(
        "no interruption",
        "what was under way when an earlier message was refused is refused",
        (
            Change(
                "chatd/hub/session.py",
                "self._interrupt(receiver, message_id, position)",
                "pass",
            ),
        ),
    ),
    Sabotage(
        "refused though shown",
        "what somebody has seen is never refused",
        (
            Change(
                "chatd/journal.py",
                "            if entry.shown and not entry.delivered:\n",
                "            if False:\n",
            ),
        ),
    ),
    Sabotage(
        "kept ones later",
        "what was shown and could not be written goes before all that is newer",
        (
            Change(
                "chatd/journal.py",
                "        if not self._retry_later or entries or arrivals:\n",
                "        if not self._retry_later:\n",
            ),
        ),
    ),
    Sabotage(
        "held and forgotten",
        "what was shown and not acknowledged in time is written",
        (
            Change(
                "chatd/journal.py",
                "        held = self._held.popleft()\n",
                "        self._held.popleft()\n"
                "        held: dict[int, list[Entry]] = {}\n",
            ),
        ),
    ),
    Sabotage(
        "held ones overtaken",
        "a message that is written takes along what is held of its receiver",
        (
            Change(
                "chatd/journal.py",
                "        self._take_held(entry.target)\n"
                "        self._entries.append(entry)\n",
                "        self._entries.append(entry)\n",
            ),
        ),
    ),
    Sabotage(
        "removal forgotten",
        "what was delivered leaves the queue, though a transaction failed",
        (
            Change(
                "chatd/journal.py",
                "        if not removals:\n            return\n",
                "        return\n",
            ),
        ),
    ),
    Sabotage(
        "no room reserved",
        "what would not fit into the queue is refused before anybody has seen it",
        (
            Change(
                "chatd/hub/session.py",
                "            target.reserve(self.name, size)\n",
                "            pass\n",
            ),
        ),
    ),
    Sabotage(
        "goodbye at once",
        "Goodbye is said when all that was sent is safe",
        (
            Change(
                "chatd/hub/session.py",
                "        if self.pending_messages:\n"
                "            done: Deferred[None] = Deferred()\n",
                "        if False:\n            done: Deferred[None] = Deferred()\n",
            ),
            Change(
                "chatd/server/speaking.py",
                "        await self.answers.all_given()\n"
                "        if not self.connection.closed:\n",
                "        if not self.connection.closed:\n",
            ),
        ),
    ),
    Sabotage(
        "backlog to two",
        "of two connections of one name the first gets the queue",
        (
            Change(
                "chatd/hub/delivery.py",
                "        return receiver.delivered < receiver.under_way and any(\n",
                "        return False and any(\n",
            ),
        ),
    ),
    Sabotage(
        "failed and there again",
        "what was refused because its sync failed is not there after a crash",
        (
            Change(
                "chatd/store/store.py",
                "                transactions.overwrite_log(connection)\n",
                "",
            ),
        ),
        "fsync",
    ),
    Sabotage(
        "stop without waiting",
        "what was read before a stop is on disk after it",
        (
            Change(
                "chatd/service.py",
                "        in_time = await self._within(ANSWER_SECONDS, answered)\n"
                "        in_time = in_time and await "
                "self._within(ANSWER_SECONDS, journal.flushed())\n",
                "        in_time = True\n        os._exit(0)\n",
            ),
        ),
        "stop",
    ),
    Sabotage(
        "client: ack before its own commit",
        "the client acknowledges what its history has",
        (
            Change(
                "chatd/client/talk/reception.py",
                "        self._unkept += 1\n        if",
                "        self._kept_upto = sequence\n"
                "        self._acknowledge()\n"
                "        self._unkept += 1\n        if",
            ),
            Change(
                "chatd/client/talk/reception.py",
                "        keeping = self._keeper.received(event.message)"
                ".addCallback(show)\n",
                "        from twisted.internet.task import deferLater\n\n"
                "        keeping = deferLater(\n"
                "            self._clock, 0.1, self._keeper.received, event.message\n"
                "        ).addCallback(show)\n",
            ),
        ),
        "client-kill",
    ),
    Sabotage(
        "listen: ack before the command",
        "a message is acknowledged when its command has succeeded",
        (
            Change(
                "chatd/client/script/listening.py",
                "                self._waiting.append(event)\n",
                "                self._waiting.append(event)\n"
                "                self._acknowledge(event, self._connections)\n",
            ),
        ),
        "client-kill",
    ),
    Sabotage(
        "client: forget when sent",
        "the outbox keeps a message until the server has answered",
        (
            Change(
                "chatd/client/talk/outbox.py",
                "                        at_once=self._at_once,\n"
                "                    )\n                )\n",
                "                        at_once=self._at_once,\n"
                "                    )\n                )\n"
                "                del self._entries[outgoing.key]\n"
                "                target.under_way -= 1\n"
                "                kept = self._keeper.accepted(\n"
                "                    message, message.sender, message.target, 'stored'"
                "\n                )\n"
                "                self._owner.keep(kept)\n",
            ),
        ),
        "kill",
    ),
    Sabotage(
        "client: a new id each time",
        "the client sends again under the same id",
        (
            Change(
                "chatd/client/talk/outbox.py",
                "        self._online = True\n        self._send_what_can_be()\n",
                "        self._online = True\n"
                "        from dataclasses import replace\n\n"
                "        from chatd.wire.message import new_id\n\n"
                "        for each in list(self._entries.values()):\n"
                "            del self._entries[each.key]\n"
                "            each.message = replace(each.message, id=new_id())\n"
                "            each.key = (each.message.id, each.key[1])\n"
                "            self._entries[each.key] = each\n"
                "        self._send_what_can_be()\n",
            ),
        ),
        "kill",
    ),
)
