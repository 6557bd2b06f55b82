-- Messages that are kept together.

-- Messages to one receiver that were accepted together, without ids of their own: they
-- have consecutive positions and one time. To a queue a row is what as many rows of
-- offline_messages are, and the figures kept of the queue count it as such.
CREATE TABLE offline_runs (
    last INTEGER PRIMARY KEY,     -- the position of the last message
    first INTEGER NOT NULL,       -- that of the first one that still waits
    target INTEGER NOT NULL REFERENCES users (id),
    time INTEGER NOT NULL,        -- when they were accepted
    -- Whose they are, in order. A line has a name as shown, how many messages follow that
    -- are its, and the size of those.
    senders TEXT NOT NULL,
    -- The messages in UTF-8, with a line feed between. None has one itself, nor anything
    -- that a screen should not get.
    messages BLOB NOT NULL
) STRICT;

CREATE INDEX offline_runs_by_target ON offline_runs (target, last);
