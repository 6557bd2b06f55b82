SELECT id, key, name, queued_messages, queued_bytes,
       CASE WHEN queued_messages > 0
       THEN (SELECT MIN(position) FROM offline_messages WHERE target = users.id) END,
       CASE WHEN queued_messages > 0
       THEN (SELECT MAX(position) FROM offline_messages WHERE target = users.id) END,
       address, password, password_time, password_from, disabled
FROM users
WHERE key IN (?)
