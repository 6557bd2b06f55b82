UPDATE users
SET last_seen = MAX(last_seen, ?)
WHERE id = ?
