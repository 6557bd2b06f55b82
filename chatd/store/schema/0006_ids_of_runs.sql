-- Messages that are kept together may have ids of their senders'.

-- Those of all of them, in order, with a line feed between; NULL where they have none.
ALTER TABLE offline_runs ADD COLUMN ids TEXT;
