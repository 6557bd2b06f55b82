"""What a connection keeps, and what is kept for all: little, since there are many."""

import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from typing import cast

from memory import Client, MemoryServer

from chatd.server.textform import TextForm
from chatd.store.transactions import find_users

CONTAINERS = (dict, list, set, deque, bytearray)


def talk() -> tuple[MemoryServer, Client, Client]:
    """Return a daemon, and two who have talked to each other and made mistakes."""
    server = MemoryServer()
    alice, bob = server.log_in("alice"), server.log_in("bob")
    alice.send("bob-hello", "bob-again", "/nothing", "nobody-hello")
    bob.send("alice-hello")
    server.settle()
    return server, alice, bob


def kept(client: Client) -> Iterator[object]:
    """Return what is kept for a connection, besides the connection itself."""
    form = client.protocol.form
    assert isinstance(form, TextForm)
    session = form.session
    assert session is not None
    receiver = session.receiver
    yield from (form, form.answers, session, session.delivery)
    yield from (receiver, receiver.backlog)
    yield from (client.protocol.outlet, client.protocol._pace)


def values(thing: object) -> Iterator[object]:
    for kind in type(thing).__mro__:
        for name in cast(Sequence[str], getattr(kind, "__slots__", ())):
            yield getattr(thing, name)


def test_a_connection_gets_its_attributes_before_its_first_byte() -> None:
    fresh = set(vars(MemoryServer().connect().protocol))
    _, alice, bob = talk()
    assert set(vars(alice.protocol)) == set(vars(bob.protocol)) == fresh


def test_what_a_connection_keeps_has_no_dictionary() -> None:
    _, alice, _ = talk()
    for thing in kept(alice):
        assert not hasattr(thing, "__dict__"), thing


def test_what_is_empty_is_the_same_for_all() -> None:
    server, alice, bob = talk()
    server.wait(10)
    for one, other in zip(kept(alice), kept(bob), strict=True):
        for mine, theirs in zip(values(one), values(other), strict=True):
            if isinstance(mine, CONTAINERS):
                assert not mine
                assert mine is theirs


class Recorder:
    """A connection to a database that records its statements."""

    def __init__(self) -> None:
        self.statements: set[str] = set()

    def execute(self, statement: str, values: Sequence[str]) -> list[object]:
        assert statement.count("?") == len(values)
        self.statements.add(statement)
        return []


def test_users_are_looked_up_with_few_statements_however_many_they_are() -> None:
    recorder = Recorder()
    connection = cast(sqlite3.Connection, recorder)
    for count in range(1, 200):
        keys = [f"u{number}" for number in range(count)]
        assert find_users(connection, keys) == [None] * count
    assert len(recorder.statements) == 7


def test_users_are_found_in_the_order_in_which_they_are_asked_for() -> None:
    server = MemoryServer()
    names = [f"u{number:03}" for number in range(70)]
    for name in names:
        server.log_in(name)
    server.settle()
    keys = [*reversed(names), "nobody", "u001"]
    found = find_users(server.store.connection, keys)
    shown = [None if user is None else user.name for user in found]
    assert shown == [*reversed(names), None, "u001"]
