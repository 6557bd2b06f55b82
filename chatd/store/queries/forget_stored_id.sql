DELETE FROM stored_ids
WHERE position = ?
