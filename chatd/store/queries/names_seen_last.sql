SELECT id, key, name, last_seen
FROM users
WHERE id NOT IN (SELECT id FROM removed_users)
ORDER BY last_seen DESC
LIMIT ?
