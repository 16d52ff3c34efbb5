-- Purpose: look up the properties of a database before anything is created in it.
-- Parameters: none.
-- Result: one row: its encoding, and the version that its collations were created with, null if none is recorded.
SELECT pg_encoding_to_char(d.encoding) AS encoding, to_jsonb(d) ->> 'datcollversion' AS collation_version,
    current_setting('server_version_num')::integer AS server
FROM pg_database d
WHERE d.datname = current_database()
