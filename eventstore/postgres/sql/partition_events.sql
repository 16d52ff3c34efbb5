-- Purpose: take the last step of putting the log into partitions, by eventstore.partition_events.
-- Parameters: $1 bigint, how many numbers each further partition takes.
-- Result: one row without content.
SELECT eventstore.partition_events($1)
