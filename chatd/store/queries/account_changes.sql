SELECT number, user, change
FROM account_changes
WHERE number > ?
ORDER BY number
