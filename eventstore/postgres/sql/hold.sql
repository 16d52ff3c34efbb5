-- Purpose: take the lock that every append waits for, by the function in migrations/0007_append_v3.sql.
-- Parameters: $1 integer, the timeout for taking it, in milliseconds; $2 integer, how long it is held at most, in
-- milliseconds.
-- Result: one row: the head under the lock.
SELECT number, token FROM eventstore.hold_v1($1, $2)
