"""Users and their queues in SQLite; nothing here knows of sessions."""
