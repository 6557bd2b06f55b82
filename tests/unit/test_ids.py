"""Ids of messages that were sent without one: derived, and the same each time."""

import json
import uuid
from typing import Any

from memory import Client, MemoryServer

from chatd.wire.message import DerivedIds, Message


def message(position: int, time: int = 1_795_000_000_123, id: str = "") -> Message:
    return Message(position, id, "ann", "bob", "Hi", time, 2)


def program(server: MemoryServer, name: str) -> Client:
    client = server.connect()
    client.send("/json", json.dumps({"type": "login", "user": name}))
    return client


def messages(client: Client) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in client.lines() if line.startswith("{")]
    return [each for each in found if each["type"] == "message"]


def test_an_id_of_the_senders_own_stays_what_it_is() -> None:
    assert DerivedIds(b"secret").of(message(7, id="own")) == "own"


def test_a_derived_id_is_a_uuid_of_version_7_with_the_time_of_acceptance() -> None:
    derived = uuid.UUID(DerivedIds(b"secret").of(message(7)))
    assert (derived.version, derived.variant) == (7, uuid.RFC_4122)
    assert derived.int >> 80 == 1_795_000_000_123


def test_each_message_of_each_database_has_another_derived_id() -> None:
    one, other = DerivedIds(b"one"), DerivedIds(b"other")
    derived = {ids.of(message(each)) for ids in (one, other) for each in range(100)}
    assert len(derived) == 200
    assert DerivedIds(b"one").of(message(7)) == one.of(message(7))


def test_a_person_s_message_has_one_id_live_queued_and_after_a_restart() -> None:
    server = MemoryServer()
    ann, bob = server.log_in("ann"), program(server, "bob")
    ann.send("bob-Hi", "bob-there")
    live = messages(bob)
    assert [each["text"] for each in live] == ["Hi", "there"]
    server.end_hold()
    bob.vanish()
    again = messages(program(server, "bob"))
    restarted = messages(program(server.killed(), "bob"))
    ids = [each["id"] for each in live]
    assert len(set(ids)) == 2
    assert [each["id"] for each in again] == ids
    assert [each["id"] for each in restarted] == ids


def test_no_id_is_kept_of_a_message_that_was_sent_without_one() -> None:
    server = MemoryServer()
    server.log_in("bob").vanish()
    server.log_in("ann").send("bob,ann-Hi")
    server.end_hold()
    rows = server.store.connection.execute("SELECT id FROM offline_messages")
    assert set(rows) <= {(None,)}


def test_a_program_without_ids_is_told_the_one_that_the_receiver_gets() -> None:
    server = MemoryServer()
    ann, bob = program(server, "ann"), program(server, "bob")
    ann.send(json.dumps({"type": "send", "to": "bob", "text": "Hi"}))
    (came,) = messages(bob)
    bob.send(json.dumps({"type": "ack", "seq": 1}))
    accepted = [json.loads(line) for line in ann.lines() if '"accepted"' in line]
    assert [each["id"] for each in accepted] == [came["id"]]
