INSERT INTO stored_ids (position, sender, id, target, digest, time)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
