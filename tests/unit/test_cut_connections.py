"""An end of input that somebody in between may have made: nothing is promised."""

import pytest
from memory import Client, MemoryServer

from chatd.wire.text import GOODBYE


def cut(client: Client) -> str:
    """End a client's input without its own word for it; return what it is told."""
    client.transport.truncated = True  # type: ignore[attr-defined]
    client.end_input()
    return client.received()


@pytest.fixture
def server() -> MemoryServer:
    server = MemoryServer()
    server.log_in("bob")
    return server


def test_complete_lines_count_and_are_answered_without_a_goodbye(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    alice.send("/confirm on", "zed-x", "alice-note")
    assert "User 'zed' not found." in alice.received()
    assert cut(alice) == ""
    assert alice.transport.disconnecting


def test_a_line_without_its_end_does_not_count(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    alice.send_bytes(b"zed-Do not")
    assert cut(alice) == ""


def test_a_goodbye_that_was_asked_for_is_said(server: MemoryServer) -> None:
    server.store.slow = True
    alice = server.connect()
    alice.send("/send-only alice", "bob-Hi", "/quit")
    alice.received()
    assert cut(alice) == ""
    server.store.catch_up()
    server.wait(1)
    server.store.catch_up()
    assert alice.received().endswith(f"{GOODBYE}\n")


def test_at_the_prompt_it_is_just_closed(server: MemoryServer) -> None:
    client = server.connect()
    client.received()
    assert cut(client) == ""
    assert client.transport.disconnecting


def test_in_json_there_is_no_goodbye_either(server: MemoryServer) -> None:
    program = server.connect()
    program.send("/json", '{"type":"login","name":"alice"}')
    program.received()
    assert cut(program) == ""
    assert program.transport.disconnecting
