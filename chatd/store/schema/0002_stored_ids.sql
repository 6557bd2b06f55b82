-- The ids under which messages were stored, kept for a week after the message itself
-- has left: a message that is sent again is known by its sender, its id and its target.

CREATE TABLE stored_ids (
    position INTEGER PRIMARY KEY, -- of the message; later ones have higher
    sender INTEGER NOT NULL REFERENCES users (id),
    id TEXT NOT NULL,             -- as the sender gave it
    target INTEGER NOT NULL REFERENCES users (id),
    digest BLOB NOT NULL,         -- of the text: the same id may not bear another one
    time INTEGER NOT NULL         -- when the message was accepted
) STRICT;

CREATE UNIQUE INDEX stored_ids_by_key ON stored_ids (sender, id, target);
