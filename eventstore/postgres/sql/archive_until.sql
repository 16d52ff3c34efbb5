-- Purpose: find when the latest event of a range of numbers occurred.
-- Parameters: $1 bigint, $2 bigint, the range's first and last number.
-- Result: one row: the time.
SELECT max(e.occurred_at) AS until FROM eventstore.events e WHERE e.sequence_number BETWEEN $1 AND $2
