INSERT INTO offline_runs (last, first, target, time, senders, messages, ids)
VALUES (?, ?, ?, ?, ?, ?, ?)
