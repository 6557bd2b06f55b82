UPDATE offline_runs
SET first = ?, senders = ?, messages = ?
WHERE last = ?
