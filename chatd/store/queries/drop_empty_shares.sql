DELETE FROM queue_shares
WHERE target = ? AND sender = ? AND messages <= 0
