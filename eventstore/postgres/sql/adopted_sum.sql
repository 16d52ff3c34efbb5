-- Purpose: add up the events that were adopted, as source_sum.sql does with those that they come from.
-- Parameters: $1 text, the field of the metadata that has an event's number in its source; $2 and $3 bigint, the first and
-- the last number of the adoption.
-- Result: one row: how many there are, and what they add up to.
SELECT count(*) AS events,
    coalesce(sum(('x' || encode(substring(sha256(convert_to(jsonb_build_array(
        (e.metadata ->> $1)::bigint, e.event_type, e.occurred_at, e.payload, e.metadata - $1
    )::text, 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint), 0)::text AS sum
FROM eventstore.events e
WHERE e.sequence_number BETWEEN $2 AND $3
