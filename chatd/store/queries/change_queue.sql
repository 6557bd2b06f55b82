UPDATE users
SET queued_messages = queued_messages + ?, queued_bytes = queued_bytes + ?
WHERE id = ?
