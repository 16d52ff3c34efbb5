-- Purpose: take the second step of putting the log into partitions: check that each present event lies within the bound.
-- Parameters: none.
-- Result: none. It reads the whole table; appends and reads continue during that time.
ALTER TABLE eventstore.events VALIDATE CONSTRAINT events_first_partition
