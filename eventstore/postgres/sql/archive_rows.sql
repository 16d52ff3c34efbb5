-- Purpose: read some events of a range, in order, each as texts that say all of it.
-- Parameters: $1 bigint, only events above this number; $2 bigint, and up to that; $3 bigint, how many at most.
-- Result: a row an event; when it occurred, in microseconds since 1970.
SELECT e.sequence_number, e.token, e.event_type, (extract(epoch FROM e.occurred_at) * 1000000)::bigint AS occurred,
    e.payload::text AS payload, e.metadata::text AS metadata
FROM eventstore.events e
WHERE e.sequence_number > $1 AND e.sequence_number <= $2
ORDER BY e.sequence_number
LIMIT $3
