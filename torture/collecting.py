"""Before and after a round: names are registered, and what still waits is collected."""

from collections.abc import Sequence
from random import Random

from torture.ledger import Acked, Confirmed, Joined, Key, Received
from torture.lines import PROMPT, ReceiverEar
from torture.objects import ACK, log_in, objects, say
from torture.stage import Stage, patiently
from torture.texts import origin_of


async def register(stage: Stage, users: Sequence[str]) -> None:
    """Make the names known."""
    for user in users:
        link = await stage.connect(user)
        await link.write(f"{user}\n/quit\n".encode())
        async for _ in link.lines():
            pass
        link.close()


async def collect(stage: Stage, user: str, dice: Random) -> None:
    """Get what waits for a user, from a daemon that nothing happens to."""
    with stage.expecting(f"all that waits for {user}"):
        if ACK in stage.features and dice.random() < 0.5:
            await patiently(_collect_objects(stage, user))
        else:
            await patiently(_collect_lines(stage, user))


async def _collect_lines(stage: Stage, user: str) -> None:
    link = await stage.connect(user)
    await link.read_past(PROMPT)
    connection = stage.ledger.new_connection(f"{user}last")
    stage.ledger.add(Joined(connection, user))
    ear = ReceiverEar(stage.ledger, connection, user)
    await link.write(f"{user}\n/quit\n".encode())
    async for line in link.lines():
        ear.hear(line)
    if not ear.goodbye:
        stage.trouble(f"{connection} ended without Goodbye.")
    link.close()


async def _collect_objects(stage: Stage, user: str) -> None:
    ledger = stage.ledger
    link = await stage.connect(user)
    connection = ledger.new_connection(f"{user}last")
    ledger.add(Joined(connection, user, acks=True))
    await log_in(link, user)
    count, queued = 0, -1
    async for each in objects(link):
        match each["type"]:
            case "welcome":
                queued = each["queued"]
            case "message":
                count += 1
                origin = origin_of(each["text"])
                if origin is None:
                    stage.trouble(f"{connection} got {each}")
                else:
                    ledger.add(Received(connection, Key(*origin, user)))
                if count % 100 == 0:
                    ledger.add(Acked(connection, count))
                    await say(link, {"type": "ack", "seq": count})
            case "pong":
                ledger.add(Confirmed(connection, count))
                await say(link, {"type": "quit"})
        if count == queued:
            queued = -1
            ledger.add(Acked(connection, count))
            acks = [{"type": "ack", "seq": count}] if count else []
            await say(link, *acks, {"type": "ping"})
    link.close()
