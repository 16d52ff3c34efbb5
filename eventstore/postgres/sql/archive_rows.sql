-- Purpose: read events of a range, in order, each as texts that represent it completely.
-- Parameters: $1 bigint, only events above this number; $2 bigint, only events up to this number; $3 bigint, the largest
-- number of events.
-- Result: one row for each event; the time at which it occurred is in microseconds since 1970.
SELECT e.sequence_number, e.token, e.event_type, (extract(epoch FROM e.occurred_at) * 1000000)::bigint AS occurred,
    e.payload::text AS payload, e.metadata::text AS metadata
FROM eventstore.events e
WHERE e.sequence_number > $1 AND e.sequence_number <= $2
ORDER BY e.sequence_number
LIMIT $3
