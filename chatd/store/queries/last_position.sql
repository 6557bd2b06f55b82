SELECT MAX(
    (SELECT COALESCE(MAX(position), 0) FROM offline_messages),
    (SELECT COALESCE(MAX(last), 0) FROM offline_runs),
    (SELECT COALESCE(MAX(position), 0) FROM stored_ids)
)
