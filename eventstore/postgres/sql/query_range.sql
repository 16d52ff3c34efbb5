-- Purpose: read a range of the log, as far as any of several alternatives matches, and the head, from one snapshot.
-- Parameters: one element an alternative ("branch"); a filter's item with n any-of predicates makes n branches.
--   $1 text[]    per branch: its event types as a JSON array, or null for any
--   $2 jsonb[]   per branch: an object that the payload must contain, or null for any
--   $3 bigint, $4 bigint   only events above the one number, and up to the other
--   $5 timestamptz, $6 timestamptz   only events that occurred from and until, or null
-- Result: the events in order, each with the head's number and token; one row of nulls and the head without any.
-- Plan: the range by primary key, each event checked; the cost is the range's.
SELECT e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload, e.metadata, s.head, s.token AS head_token
FROM eventstore.store s
LEFT JOIN LATERAL (
    SELECT *
    FROM eventstore.events e
    WHERE e.sequence_number > $3::bigint AND e.sequence_number <= $4::bigint
        AND EXISTS (
            SELECT FROM unnest($1::text[], $2::jsonb[]) AS b (types, contained)
            WHERE (b.contained IS NULL OR e.payload @> b.contained)
                AND (b.types IS NULL OR b.types::jsonb ? e.event_type)
        )
        AND ($5::timestamptz IS NULL OR e.occurred_at >= $5)
        AND ($6::timestamptz IS NULL OR e.occurred_at <= $6)
) e ON true
WHERE s.singleton
ORDER BY e.sequence_number
