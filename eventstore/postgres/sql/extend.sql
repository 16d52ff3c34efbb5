-- Purpose: make further partitions ahead of the log's end, as eventstore.extend_v1 does.
-- Parameters: $1 bigint, how many events are about to be recorded, or 0.
-- Result: one row: from which number on to ask again, the last number that there is a partition for, and how many numbers
-- each takes; none if the log is one table.
SELECT due, last_number, size FROM eventstore.extend_v1($1)
