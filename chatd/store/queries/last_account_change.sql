SELECT COALESCE(MAX(number), 0)
FROM account_changes
