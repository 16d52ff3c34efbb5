-- Purpose: take the lock that every append waits for, as the function in migrations/0007_append_v3.sql does.
-- Parameters: $1 integer, for how many milliseconds to wait for it; $2 integer, for how many to hold it.
-- Result: one row, the head under the lock.
SELECT number, token FROM eventstore.hold_v1($1, $2)
