INSERT INTO removed_users (id)
VALUES (?)
