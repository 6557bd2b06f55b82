SELECT target, position, digest
FROM stored_ids
WHERE sender = ? AND id = ?
