-- Purpose: look up how far the log is, and the schema's version.
-- Parameters: none.
-- Result: one row, the head as in query.sql, and the version.
SELECT 0 AS branch, s.head AS sequence_number, s.token, s.schema_version FROM eventstore.store s WHERE s.singleton
