-- Purpose: look up keys of subjects, as the function in migrations/0013_erasure.sql does.
-- Parameters: $1 uuid[], their ids.
-- Result: those that there are, in no order.
SELECT id, field, subject, wrapped_key FROM eventstore.subject_keys_v1($1)
