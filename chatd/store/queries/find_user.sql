SELECT id, key, name, queued_messages, queued_bytes,
       CASE WHEN queued_messages > 0
       THEN (SELECT MIN(position) FROM offline_messages WHERE target = users.id) END,
       CASE WHEN queued_messages > 0
       THEN (SELECT MAX(position) FROM offline_messages WHERE target = users.id) END,
       -- Runs do not overlap: the first to end is the first to begin.
       CASE WHEN queued_messages > 0
       THEN (SELECT first FROM offline_runs WHERE target = users.id
             ORDER BY last LIMIT 1) END,
       CASE WHEN queued_messages > 0
       THEN (SELECT MAX(last) FROM offline_runs WHERE target = users.id) END,
       address, password, password_time, password_from, disabled
FROM users
WHERE key = ?
