-- Purpose: the last step of putting the log into partitions, as eventstore.partition_events does.
-- Parameters: $1 bigint, how many numbers each further partition takes.
-- Result: one row: nothing.
SELECT eventstore.partition_events($1)
