-- A message to be sent is kept before it is sent: those with status 'waiting' are the
-- outbox. One that the server refused for good is 'refused'.

CREATE INDEX messages_waiting ON messages (position) WHERE status = 'waiting';

-- Whether a message received has been shown. One that was kept, and not shown because
-- the client ended there and then, is shown at the next start.

ALTER TABLE messages ADD shown INTEGER NOT NULL DEFAULT 1;

CREATE INDEX messages_not_shown ON messages (position) WHERE shown = 0;
