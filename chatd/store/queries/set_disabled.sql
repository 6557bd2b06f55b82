UPDATE users
SET disabled = ?
WHERE id = ?
