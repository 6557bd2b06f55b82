UPDATE users
SET key = '/removed/' || id, name = '/removed/' || id, password = NULL, address = NULL,
    port = NULL, queued_messages = 0, queued_bytes = 0
WHERE id = ?
