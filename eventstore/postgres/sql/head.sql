-- Purpose: look up the head of the log, and what must be known of a server before it is used.
-- Parameters: none.
-- Result: one row: the head as in query.sql, 0 and 0 if the log is empty; the schema's version; whether the server is in
-- recovery, as every replica is; and the session's synchronous_commit.
SELECT 0 AS branch, coalesce(h.sequence_number, 0) AS sequence_number, coalesce(h.token, 0) AS token,
    s.version AS schema_version, pg_is_in_recovery() AS in_recovery,
    current_setting('synchronous_commit') AS synchronous_commit
FROM eventstore.schema_version s
LEFT JOIN LATERAL (
    SELECT e.sequence_number, e.token FROM eventstore.head_v2() e
) h ON true
WHERE s.singleton
