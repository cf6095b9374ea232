-- Keys of events that are not in event_key yet, in the order in which they came: one sorted run for each transaction.
CREATE TABLE key_run (run_no INTEGER PRIMARY KEY, entries BLOB NOT NULL);
