DELETE FROM offline_messages
WHERE target = ? AND position <= ?
