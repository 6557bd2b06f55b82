SELECT id, key, name, queued_messages, queued_bytes,
       (SELECT MIN(position) FROM offline_messages WHERE target = users.id),
       (SELECT MAX(position) FROM offline_messages WHERE target = users.id),
       address, password, password_time, password_from, disabled
FROM users
WHERE key = ?
