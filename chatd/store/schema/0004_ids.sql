-- A message that was sent without an id has none here either: offline_messages.id is
-- NULL. Who needs one derives it from the message's time, its position and this.

CREATE TABLE id_secret (
    secret BLOB NOT NULL          -- random, made once
) STRICT;

INSERT INTO id_secret (secret) VALUES (randomblob(16));
