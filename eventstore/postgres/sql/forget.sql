-- Purpose: forget a subject, by the function in migrations/0013_erasure.sql.
-- Parameters: $1 text, the field that names the subject; $2 text, its value.
-- Result: one row: the number of the event, how many states were deleted, and the number of the last such event before.
SELECT number, states, before FROM eventstore.forget_v1($1, $2)
