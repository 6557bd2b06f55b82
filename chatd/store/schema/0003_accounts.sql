-- Who may log in under a name.

ALTER TABLE users ADD COLUMN password TEXT;        -- argon2id, encoded; none: open to all
ALTER TABLE users ADD COLUMN password_time INTEGER; -- when the first one was set
ALTER TABLE users ADD COLUMN password_from TEXT;    -- from which address, or by whom
ALTER TABLE users ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;

-- Users whose names are free again. What is still on its way to one needs a row to go
-- to; both are deleted when chatd starts.
CREATE TABLE removed_users (
    id INTEGER PRIMARY KEY REFERENCES users (id)
) STRICT;

-- What an administrator has changed beside a running chatd, for it to act upon.
CREATE TABLE account_changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user INTEGER NOT NULL,
    time INTEGER NOT NULL,
    change TEXT NOT NULL CHECK (change IN ('added', 'changed', 'removed'))
) STRICT;
