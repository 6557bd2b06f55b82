-- Users and their queues.
--
-- Times are milliseconds since 1970-01-01 UTC; sizes are bytes of UTF-8.

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,     -- the name, case-mapped: names are compared by it
    name TEXT NOT NULL,           -- the name as first registered: names are shown so
    address TEXT,                 -- where the last login came from
    port INTEGER,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    -- What waits for this user. Kept in step with offline_messages by the transaction
    -- that adds or removes rows, so that a login need not count them.
    queued_messages INTEGER NOT NULL DEFAULT 0,
    queued_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX users_by_last_seen ON users (last_seen);

CREATE TABLE offline_messages (
    position INTEGER PRIMARY KEY, -- rises with acceptance, over all receivers
    id TEXT,                      -- the message's id, unique for its sender
    sender TEXT NOT NULL,         -- the sender's name as shown
    target INTEGER NOT NULL REFERENCES users (id),
    message TEXT NOT NULL,
    time INTEGER NOT NULL,        -- when it was accepted
    size INTEGER NOT NULL         -- of the message
) STRICT;

CREATE INDEX offline_messages_by_target ON offline_messages (target, position);

-- How much of a receiver's queue one sender takes; no row means nothing.
CREATE TABLE queue_shares (
    target INTEGER NOT NULL REFERENCES users (id),
    sender TEXT NOT NULL,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (target, sender)
) WITHOUT ROWID, STRICT;
