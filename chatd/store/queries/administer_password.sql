UPDATE users
SET password = :password, password_time = :time, password_from = :address
WHERE id = :user
