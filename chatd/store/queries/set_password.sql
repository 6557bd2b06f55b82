UPDATE users
SET password = :password,
    password_time = CASE WHEN password IS NULL THEN :time ELSE password_time END,
    password_from = CASE WHEN password IS NULL THEN :address ELSE password_from END
WHERE id = :user AND password IS :before
