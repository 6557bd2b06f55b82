SELECT MAX(id)
FROM stored_ids
WHERE sender = ?
