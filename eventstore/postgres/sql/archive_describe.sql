-- Purpose: describe the oldest partition before it is archived, by eventstore.describe_archive_v1.
-- Parameters: $1 bigint, its first number.
-- Result: one row.
SELECT first_number, last_number, last_token, events, checksum::text AS checksum, event_types, buckets
FROM eventstore.describe_archive_v1($1)
