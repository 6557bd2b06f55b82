INSERT INTO account_changes (user, change)
VALUES (?, ?)
