-- Purpose: read the whole history that any of several alternatives matches, and the head, from one snapshot.
-- Parameters: one element an alternative ("branch"); a filter's item with n any-of predicates makes n branches.
--   $1 text[]    per branch: its event types as a JSON array, or null for any
--   $2 jsonb[]   per branch: an object that the payload must contain, or null for any
--   $3 jsonb[]   the distinct objects of $2, for the index on the payload
--   $4 text[]    the event types of the branches without an object, for the index on the type
--   $5 bigint    only events above this number
--   $6 timestamptz, $7 timestamptz   only events that occurred from and until, or null
-- Result: the events in order, each with the head's number and token; one row of nulls and the head without any.
-- Plan: a union of the two indexes' bitmaps, whatever the values. The number is added to 0 so that no plan walks the
-- whole primary key instead.
SELECT e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload, e.metadata, s.head, s.token AS head_token
FROM eventstore.store s
LEFT JOIN LATERAL (
    SELECT *
    FROM eventstore.events e
    WHERE (e.payload @> ANY ($3::jsonb[]) OR e.event_type = ANY ($4::text[]))
        AND EXISTS (
            SELECT FROM unnest($1::text[], $2::jsonb[]) AS b (types, contained)
            WHERE (b.contained IS NULL OR e.payload @> b.contained)
                AND (b.types IS NULL OR b.types::jsonb ? e.event_type)
        )
        AND e.sequence_number + 0 > $5::bigint
        AND ($6::timestamptz IS NULL OR e.occurred_at >= $6)
        AND ($7::timestamptz IS NULL OR e.occurred_at <= $7)
) e ON true
WHERE s.singleton
ORDER BY e.sequence_number
