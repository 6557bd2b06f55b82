UPDATE users
SET address = :address, port = :port, last_seen = MAX(last_seen, :time)
WHERE key = :key
