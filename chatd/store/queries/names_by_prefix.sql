SELECT name
FROM users
WHERE key >= :prefix AND key < :prefix || char(0x10FFFF)
      AND id NOT IN (SELECT id FROM removed_users)
ORDER BY key
LIMIT :most
