SELECT first, time, senders, messages
FROM offline_runs
WHERE target = ? AND last > ?
ORDER BY last
LIMIT ?
