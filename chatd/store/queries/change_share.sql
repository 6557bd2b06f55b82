INSERT INTO queue_shares (messages, bytes, target, sender)
VALUES (?, ?, ?, ?)
ON CONFLICT (target, sender) DO UPDATE
SET messages = messages + excluded.messages, bytes = bytes + excluded.bytes
