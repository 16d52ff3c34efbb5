-- Purpose: look up how far the log is, and the schema's version.
-- Parameters: none.
-- Result: one row.
SELECT s.head, s.token, s.schema_version FROM eventstore.store s WHERE s.singleton
