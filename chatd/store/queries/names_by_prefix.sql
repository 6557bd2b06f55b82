SELECT name
FROM users
WHERE key >= :prefix AND key < :prefix || char(0x10FFFF)
ORDER BY key
LIMIT :most
