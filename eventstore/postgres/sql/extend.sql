-- Purpose: create partitions ahead of the log's end, by eventstore.extend_v1.
-- Parameters: $1 bigint, how many events are about to be recorded, or 0.
-- Result: one row: the number from which on to call it again, the last number that has a partition, and how many numbers
-- each takes; none if the log is one table.
SELECT due, last_number, size FROM eventstore.extend_v1($1)
