-- Purpose: look at what a database is, before anything is made in it.
-- Parameters: none.
-- Result: one row: its encoding, and the version that its collations were made with, null where none is kept.
SELECT pg_encoding_to_char(d.encoding) AS encoding, to_jsonb(d) ->> 'datcollversion' AS collation_version,
    current_setting('server_version_num')::integer AS server
FROM pg_database d
WHERE d.datname = current_database()
