SELECT id, key, name, queued_messages, queued_bytes,
       (SELECT MIN(position) FROM offline_messages WHERE target = users.id),
       (SELECT MAX(position) FROM offline_messages WHERE target = users.id),
       -- They do not overlap: the first to end is the first to begin.
       (SELECT first FROM offline_runs WHERE target = users.id ORDER BY last LIMIT 1),
       (SELECT MAX(last) FROM offline_runs WHERE target = users.id),
       address, password, password_time, password_from, disabled
FROM users
WHERE key = ?
