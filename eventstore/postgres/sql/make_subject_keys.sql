-- Purpose: have a key for each of several subjects, as the function in migrations/0013_erasure.sql does.
-- Parameters: $1 to $4 as that function's.
-- Result: the key that each subject has now, in no order.
SELECT id, field, subject, wrapped_key FROM eventstore.make_subject_keys_v1($1, $2, $3, $4)
