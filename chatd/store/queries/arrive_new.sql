INSERT INTO users (
    key, name, address, port, first_seen, last_seen,
    password, password_time, password_from
)
VALUES (
    :key, :name, :address, :port, :time, :time,
    :password, :password_time, :password_from
)
