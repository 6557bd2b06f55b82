"""The client book: those who were seen last, kept in memory."""

from memory import MemoryServer

from chatd.hub.book import Book
from chatd.store import administration
from chatd.store.records import AccountChange, Seen


def seen(name: str, time: int) -> Seen:
    return Seen(time, name, name.capitalize(), time)


def test_it_has_those_who_were_seen_last_in_alphabetical_order() -> None:
    book = Book([seen("zoe", 3), seen("mia", 2), seen("ann", 1)], 3)
    assert book.names() == ["Ann", "Mia", "Zoe"]
    book.saw(seen("bea", 4))
    assert book.names() == ["Bea", "Mia", "Zoe"]


def test_who_is_seen_again_stays_longer() -> None:
    book = Book([seen("zoe", 3), seen("mia", 2), seen("ann", 1)], 3)
    book.saw(seen("ann", 1))
    book.saw(seen("bea", 4))
    assert book.names() == ["Ann", "Bea", "Zoe"]


def test_who_is_gone_makes_room_for_one_who_is_stored() -> None:
    book = Book([seen("zoe", 3), seen("mia", 2)], 2)
    book.forget(3)
    book.fill([seen("mia", 2), seen("ann", 1)])
    assert book.names() == ["Ann", "Mia"]


def test_what_is_stored_takes_nothing_away_that_is_known_here() -> None:
    book = Book([seen("mia", 2), seen("ann", 1)], 2)
    book.saw(seen("zoe", 5))
    book.saw(Seen(1, "ann", "Ann", 6))
    book.fill([seen("bea", 3), seen("mia", 2), seen("ann", 1)])
    assert book.names() == ["Ann", "Zoe"]


def book_of(server: MemoryServer) -> list[str]:
    return list(server.hub.users().names)


def test_it_is_there_again_after_a_restart() -> None:
    server = MemoryServer()
    server.log_in("bob").vanish()
    server.log_in("Alice").vanish()
    server.end_hold()
    assert book_of(server.killed()) == ["Alice", "bob"]


def test_it_follows_what_an_administrator_changes() -> None:
    server = MemoryServer()
    alice = server.log_in("alice")
    bob = server.log_in("bob")
    connection = server.store.connection
    administration.add_user(connection, "carol", "carol", None, server.date)
    server.hub.account_changed(AccountChange(1, 3, server.date(), "added"))
    assert book_of(server) == ["alice", "bob", "carol"]
    administration.remove_user(connection, "bob", server.date)
    server.hub.account_changed(AccountChange(2, 2, server.date(), "removed"))
    assert "account" in bob.received()
    bob.vanish()
    assert book_of(server) == ["alice", "carol"]
    alice.vanish()
    assert book_of(server) == ["alice", "carol"]
