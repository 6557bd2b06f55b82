SELECT position, id, sender, message, time, size
FROM offline_messages
WHERE target = ? AND position > ?
ORDER BY position
LIMIT ?
