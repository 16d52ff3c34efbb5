-- Purpose: look up how far the log is, and what must be known of a server before it is used.
-- Parameters: none.
-- Result: one row, the head as in query.sql, the schema's version, whether the server is in recovery, as every replica
-- is, and the session's synchronous_commit.
SELECT 0 AS branch, s.head AS sequence_number, s.token, s.schema_version, pg_is_in_recovery() AS in_recovery,
    current_setting('synchronous_commit') AS synchronous_commit
FROM eventstore.store s
WHERE s.singleton
