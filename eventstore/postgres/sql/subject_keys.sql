-- Purpose: look up keys of subjects, by the function in migrations/0013_erasure.sql.
-- Parameters: $1 uuid[], their ids.
-- Result: the keys found, in no particular order.
SELECT id, field, subject, wrapped_key FROM eventstore.subject_keys_v1($1)
