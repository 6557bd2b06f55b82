SELECT key
FROM users
WHERE last_seen < ? AND queued_messages > 0
ORDER BY last_seen
LIMIT ?
