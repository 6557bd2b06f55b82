UPDATE offline_runs
SET first = ?, senders = ?, messages = ?, ids = ?
WHERE last = ?
