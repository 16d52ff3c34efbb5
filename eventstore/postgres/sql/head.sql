-- Purpose: look up how far the log is, the schema's version, and whether the server follows another.
-- Parameters: none.
-- Result: one row, the head as in query.sql, the version, and whether the server is in recovery, as every replica is.
SELECT 0 AS branch, s.head AS sequence_number, s.token, s.schema_version, pg_is_in_recovery() AS in_recovery
FROM eventstore.store s
WHERE s.singleton
