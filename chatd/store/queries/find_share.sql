SELECT messages, bytes
FROM queue_shares
WHERE target = ? AND sender = ?
