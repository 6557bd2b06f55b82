SELECT name, key
FROM users
ORDER BY last_seen DESC
LIMIT ?
