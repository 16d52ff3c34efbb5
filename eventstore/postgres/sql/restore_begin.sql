-- Purpose: create a table for the events of the range that was archived last, by eventstore.begin_restore_v1.
-- Parameters: $1 bigint, its first number.
-- Result: one row: the table's name.
SELECT eventstore.begin_restore_v1($1) AS name
