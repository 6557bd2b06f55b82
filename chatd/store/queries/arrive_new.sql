INSERT INTO users (key, name, address, port, first_seen, last_seen)
VALUES (:key, :name, :address, :port, :time, :time)
