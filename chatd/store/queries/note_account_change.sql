INSERT INTO account_changes (user, time, change)
VALUES (?, ?, ?)
