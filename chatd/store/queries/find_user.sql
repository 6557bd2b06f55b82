SELECT id, key, name, queued_messages, queued_bytes,
       (SELECT MAX(position) FROM offline_messages WHERE target = users.id)
FROM users
WHERE key = ?
