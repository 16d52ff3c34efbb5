-- Purpose: read the events in a range of the log that any of several alternatives matches, and the head, from one snapshot.
-- Parameters: $1 to $6 as in query.sql, of one query; both types and object may be null
--   $7 bigint, $8 bigint   only events above the first number, and up to the second
--   $9 bigint[]  numbers of events whose tokens are wanted, ascending
-- Result: as of query.sql, each event once and in order, of branch 1.
-- Plan: the range by primary key, each event checked; the cost grows with the range.
(
    SELECT 0 AS branch, e.sequence_number, e.token, NULL AS event_type, NULL::timestamptz AS occurred_at,
        NULL::text AS payload, NULL::text AS metadata
    FROM eventstore.head_v2() e
)
UNION ALL
SELECT a.branch, a.sequence_number, a.token, a.event_type, NULL, NULL, NULL
FROM eventstore.archived_v1(
    $1::text::jsonb[], $2::text[]::jsonb[], $4::text::bigint[],
    $5::text::timestamptz[], $6::text::timestamptz[], $8::bigint, $9::bigint[]
) a
UNION ALL
SELECT -1, e.sequence_number, e.token, NULL, NULL, NULL, NULL
FROM eventstore.events e
WHERE e.sequence_number = ANY ($9::bigint[])
    AND e.sequence_number BETWEEN ($9::bigint[])[1] AND ($9::bigint[])[cardinality($9::bigint[])]
UNION ALL
SELECT 1, e.*
FROM (
    SELECT e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
    FROM eventstore.events e
    WHERE e.sequence_number > $7::bigint AND e.sequence_number <= $8::bigint
        AND EXISTS (
            SELECT
            FROM unnest(
                $1::text::jsonb[], $2::text[]::jsonb[], $3::text::integer[], $4::text::bigint[],
                $5::text::timestamptz[], $6::text::timestamptz[]
            )
                AS b (types, contained, fields, above, since, until)
            WHERE (b.contained IS NULL OR e.payload @> b.contained)
                AND (b.types IS NULL OR b.types ? e.event_type)
                AND (b.since IS NULL OR e.occurred_at >= b.since)
                AND (b.until IS NULL OR e.occurred_at <= b.until)
        )
    ORDER BY e.sequence_number
) e
