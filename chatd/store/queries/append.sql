INSERT INTO offline_messages (position, id, sender, target, message, time, size)
VALUES (?, ?, ?, ?, ?, ?, ?)
