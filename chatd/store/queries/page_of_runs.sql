SELECT first, time, senders, messages, ids
FROM offline_runs
WHERE target = ? AND last > ?
ORDER BY last
LIMIT ?
