"""A client that floods harms neither memory nor the others' turns."""

from memory import MemoryServer
from twisted.internet.defer import Deferred

from chatd.limits import Limits
from chatd.server.pace import LINES_A_TURN


def test_a_flood_in_one_packet_is_taken_a_turn_at_a_time() -> None:
    server = MemoryServer()
    flooder = server.log_in("flooder")
    flooder.protocol.dataReceived(b"/confirm on\n" * (3 * LINES_A_TURN))
    assert flooder.protocol.lines_waiting >= 2 * LINES_A_TURN
    assert len(flooder.lines()) == 3 * LINES_A_TURN


def test_answers_behind_a_late_one_count_as_unread() -> None:
    server = MemoryServer(Limits(unread_answers=1_000))
    flooder = server.log_in("flooder")
    server.log_in("away").vanish()
    server.store.slow = True
    # The first answer waits for the disk; the others are known, and wait behind it.
    flooder.send("away-x", *["/help"] * 50)
    assert flooder.protocol.lines_waiting > 40
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    assert flooder.protocol.lines_waiting == 0
    assert flooder.received().count("leaves, once everything sent is safe") == 50


def test_help_at_the_prompt_is_not_given_to_who_does_not_read() -> None:
    server = MemoryServer()
    client = server.connect()
    client.transport.reading = False
    client.send(*["/help"] * 2_000)
    held = client.protocol.lines_waiting
    assert held > 1_000
    client.resume_reading()
    assert client.protocol.lines_waiting < held


def test_a_stop_is_not_kept_waiting_by_who_acknowledges_nothing() -> None:
    server = MemoryServer()
    mute = server.log_in("mute")
    other = server.log_in("other")
    mute.transport.reading = False
    other.send("mute-Hi")
    stopped = Deferred.fromCoroutine(server.factory.finish_conversations())
    server.settle()
    assert not stopped.called
    for _ in range(12):
        server.clock.advance(0.5)
        server.settle()
    assert stopped.called
    assert mute.transport.aborted
    assert server.factory.all_gone().called
    assert server.store.queued("mute") == ["Hi"]
