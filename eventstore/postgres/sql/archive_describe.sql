-- Purpose: note what there is to know of the oldest partition, as eventstore.describe_archive_v1 does.
-- Parameters: $1 bigint, its first number.
-- Result: one row.
SELECT first_number, last_number, last_token, events, checksum::text AS checksum, event_types, buckets
FROM eventstore.describe_archive_v1($1)
