-- Purpose: get or create the key of each of several subjects, by the function in migrations/0013_erasure.sql.
-- Parameters: $1 to $4 as that function's.
-- Result: the present key of each subject, in no particular order.
SELECT id, field, subject, wrapped_key FROM eventstore.make_subject_keys_v1($1, $2, $3, $4)
