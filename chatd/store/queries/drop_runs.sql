DELETE FROM offline_runs
WHERE target = ?
