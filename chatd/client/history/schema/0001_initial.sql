-- Every message sent or received.
--
-- The first four columns are those that the original program had, and mean the same:
-- times are UTC, written as 2026-11-22 18:42:53.

CREATE TABLE messages (
    sender TEXT NOT NULL,
    receiver TEXT NOT NULL,
    message TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    position INTEGER PRIMARY KEY, -- rises with the order in which they were kept
    server TEXT NOT NULL,         -- as it was connected to; empty in the original's
    id TEXT NOT NULL,             -- the sender's own, unique for a sender and receiver
    direction TEXT NOT NULL CHECK (direction IN ('sent', 'received')),
    status TEXT NOT NULL          -- of one received: received; of one sent, what the
                                  -- server said last: stored or delivered; unknown in
                                  -- what the original has left
) STRICT;

CREATE UNIQUE INDEX messages_by_key ON messages (server, sender, id, receiver);
