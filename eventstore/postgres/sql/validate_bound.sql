-- Purpose: the second step of putting the log into partitions: see that each event that is there lies within the bound.
-- Parameters: none.
-- Result: none. It reads all of the table; appends and reads go on meanwhile.
ALTER TABLE eventstore.events VALIDATE CONSTRAINT events_first_partition
