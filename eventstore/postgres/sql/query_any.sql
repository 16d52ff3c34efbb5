-- Purpose: read the events of every type and payload, and the head, from one snapshot.
-- Parameters:
--   $1 bigint, $2 bigint   only events above the one number, and up to the other, or null for no end
--   $3 timestamptz, $4 timestamptz   only events that occurred from and until, or null
-- Result: the events in order, each with the head's number and token; one row of nulls and the head without any.
SELECT e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload, e.metadata, s.head, s.token AS head_token
FROM eventstore.store s
LEFT JOIN LATERAL (
    SELECT *
    FROM eventstore.events e
    WHERE e.sequence_number > $1
        AND ($2::bigint IS NULL OR e.sequence_number <= $2)
        AND ($3::timestamptz IS NULL OR e.occurred_at >= $3)
        AND ($4::timestamptz IS NULL OR e.occurred_at <= $4)
) e ON true
ORDER BY e.sequence_number
