INSERT INTO users (
    key, name, first_seen, last_seen, password, password_time, password_from
)
VALUES (:key, :name, :time, :time, :password, :time, :address)
