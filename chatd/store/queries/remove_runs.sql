DELETE FROM offline_runs
WHERE target = ? AND last <= ?
