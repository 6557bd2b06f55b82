"""What is unread, by who wrote it."""

from chatd.client.talk.unread import MOST_WRITERS, Unread


def test_messages_are_counted_by_writer_the_latest_first() -> None:
    unread = Unread()
    for sender in ("bob", "carol", "Bob", "dave", "carol"):
        unread.arrived(sender)
    assert unread.counts() == [("carol", 2), ("dave", 1), ("Bob", 2)]


def test_who_turns_to_somebody_has_read_theirs_and_no_others() -> None:
    unread = Unread()
    for sender in ("bob", "carol", "dave"):
        unread.arrived(sender)
    assert unread.read("BOB", "dave", "zed")
    assert unread.counts() == [("carol", 1)]
    assert not unread.read("bob")
    unread.arrived("bob")
    assert unread.counts() == [("bob", 1), ("carol", 1)]


def test_all_can_be_read_at_once() -> None:
    unread = Unread()
    assert not unread.read_all()
    unread.arrived("bob")
    unread.arrived("carol")
    assert unread.read_all()
    assert unread.counts() == []


def test_no_more_writers_than_fit_are_counted() -> None:
    unread = Unread()
    for number in range(MOST_WRITERS + 2):
        unread.arrived(f"u{number}")
    counts = unread.counts()
    assert len(counts) == MOST_WRITERS
    assert counts[0] == (f"u{MOST_WRITERS + 1}", 1)
    assert counts[-1] == ("u2", 1)
