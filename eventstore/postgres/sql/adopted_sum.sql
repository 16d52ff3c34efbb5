-- Purpose: add up the adopted events, as source_sum.sql does for the events of the source.
-- Parameters: $1 text, the metadata field that has an event's number in the source; $2 and $3 bigint, the first and last
-- number of the adoption.
-- Result: one row: the number of events, and their checksum.
SELECT count(*) AS events,
    coalesce(sum(('x' || encode(substring(sha256(convert_to(jsonb_build_array(
        (e.metadata ->> $1)::bigint, e.event_type, e.occurred_at, e.payload, e.metadata - $1
    )::text, 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint), 0)::text AS sum
FROM eventstore.events e
WHERE e.sequence_number BETWEEN $2 AND $3
