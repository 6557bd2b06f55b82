DELETE FROM queue_shares
WHERE target = ?
