-- With whom one talked. What was said with somebody is found by this index, and so is
-- with whom one talked last, however many messages there are.

ALTER TABLE messages ADD correspondent TEXT
    AS (CASE direction WHEN 'sent' THEN receiver ELSE sender END) VIRTUAL;

CREATE INDEX messages_by_correspondent ON messages (server, correspondent, position);

-- The index for searches: for each message, by its position, the pieces of three
-- characters that its words are made of, the text folded before (index.py). It
-- only says which messages may have a word: whoever searches looks at their text.
--
-- It is filled some time after a message was kept, many messages at once. Those up to
-- `upto` are in it, but for those in messages_changed; all others have to be looked
-- through. So nothing is missed, whenever a program ends, and whoever writes the table.

CREATE VIRTUAL TABLE messages_search USING fts5 (
    pieces, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
);

CREATE TABLE messages_searchable (upto INTEGER NOT NULL) STRICT;

INSERT INTO messages_searchable VALUES (0);

CREATE TABLE messages_changed (
    position INTEGER PRIMARY KEY,
    indexed TEXT -- the text that the index has for it; NULL if it has none
) STRICT;

CREATE TRIGGER messages_deleted AFTER DELETE ON messages
WHEN OLD.position <= (SELECT upto FROM messages_searchable)
BEGIN
    INSERT INTO messages_changed SELECT OLD.position, OLD.message
    WHERE NOT EXISTS (SELECT 1 FROM messages_changed WHERE position = OLD.position);
END;

-- SQLite gives the highest position again once its row has been deleted.
CREATE TRIGGER messages_inserted AFTER INSERT ON messages
WHEN NEW.position <= (SELECT upto FROM messages_searchable)
BEGIN
    INSERT INTO messages_changed SELECT NEW.position, NULL
    WHERE NOT EXISTS (SELECT 1 FROM messages_changed WHERE position = NEW.position);
END;

-- What becomes of a message changes nothing here.
CREATE TRIGGER messages_rewritten AFTER UPDATE OF position, message ON messages
BEGIN
    INSERT INTO messages_changed SELECT OLD.position, OLD.message
    WHERE OLD.position <= (SELECT upto FROM messages_searchable)
    AND NOT EXISTS (SELECT 1 FROM messages_changed WHERE position = OLD.position);
    INSERT INTO messages_changed SELECT NEW.position, NULL
    WHERE NEW.position <= (SELECT upto FROM messages_searchable)
    AND NOT EXISTS (SELECT 1 FROM messages_changed WHERE position = NEW.position);
END;
