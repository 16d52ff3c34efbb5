-- Purpose: add up the events in the table of a range that is being restored.
-- Parameters: $1 text, the table's name; $2 bigint, $3 bigint, the range's first and last number.
-- Result: one row: the number of events, and their checksum, as that of archive_rows.sql's rows.
SELECT s.events, s.checksum::text AS checksum
FROM eventstore.archive_sum_v1(format('eventstore.%I', $1::text)::regclass, $2, $3) s
