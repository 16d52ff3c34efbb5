-- Purpose: the first step of putting the log into partitions, as eventstore.bound_events does.
-- Parameters: $1 bigint, how many numbers each further partition takes.
-- Result: one row: the bound, the last number that its table takes.
SELECT eventstore.bound_events($1)
