DELETE FROM offline_messages
WHERE target = ?
