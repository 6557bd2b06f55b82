SELECT name, password IS NOT NULL, password_time, password_from, disabled, first_seen,
       last_seen, address, queued_messages, queued_bytes
FROM users
WHERE id NOT IN (SELECT id FROM removed_users)
ORDER BY key
