-- Purpose: take the first step of putting the log into partitions, by eventstore.bound_events.
-- Parameters: $1 bigint, how many numbers each further partition takes.
-- Result: one row: the bound, the last number that the log's present table takes.
SELECT eventstore.bound_events($1)
