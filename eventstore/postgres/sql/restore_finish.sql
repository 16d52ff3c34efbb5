-- Purpose: attach the table of restore_begin.sql to the log, by eventstore.finish_restore_v1.
-- Parameters: $1 bigint, the range's first number.
-- Result: one row without content.
SELECT eventstore.finish_restore_v1($1)
