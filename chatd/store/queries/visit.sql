UPDATE users
SET address = ?, port = ?, last_seen = MAX(last_seen, ?)
WHERE id = ? AND key = ?
