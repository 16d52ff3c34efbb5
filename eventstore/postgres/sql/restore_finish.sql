-- Purpose: take the table of restore_begin.sql into the log, as eventstore.finish_restore_v1 does.
-- Parameters: $1 bigint, the range's first number.
-- Result: one row: nothing.
SELECT eventstore.finish_restore_v1($1)
