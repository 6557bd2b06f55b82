SELECT number, user, time, change
FROM account_changes
WHERE number > ?
ORDER BY number
