SELECT id, key, name, queued_messages, queued_bytes,
       (SELECT MIN(position) FROM offline_messages WHERE target = users.id),
       (SELECT MAX(position) FROM offline_messages WHERE target = users.id)
FROM users
WHERE key = ?
