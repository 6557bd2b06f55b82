UPDATE users
SET last_seen = last_seen
WHERE id = (SELECT MIN(id) FROM users)
