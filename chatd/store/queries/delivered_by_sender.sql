SELECT sender, COUNT(*), SUM(size)
FROM offline_messages
WHERE target = ? AND position <= ?
GROUP BY sender
