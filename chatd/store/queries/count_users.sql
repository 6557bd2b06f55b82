SELECT (SELECT COUNT(*) FROM users) - (SELECT COUNT(*) FROM removed_users)
