-- Purpose: read events by their numbers, and the head, from one snapshot.
-- Parameters: $1 bigint[], the numbers; $2 bigint[], numbers of events whose tokens are wanted; both ascending.
-- Result: as of query.sql, each event of branch 1.
-- Plan: the primary key.
(
    SELECT 0 AS branch, e.sequence_number, e.token, NULL AS event_type, NULL::timestamptz AS occurred_at,
        NULL::text AS payload, NULL::text AS metadata
    FROM eventstore.head_v2() e
)
UNION ALL
SELECT a.branch, a.sequence_number, a.token, a.event_type, NULL, NULL, NULL
FROM eventstore.archived_v1(
    ARRAY[NULL::jsonb], ARRAY[NULL::jsonb], ARRAY[($1::bigint[])[1] - 1], ARRAY[NULL::timestamptz],
    ARRAY[NULL::timestamptz], NULL, $2::bigint[]
) a
UNION ALL
SELECT -1, e.sequence_number, e.token, NULL, NULL, NULL, NULL
FROM eventstore.events e
WHERE e.sequence_number = ANY ($2::bigint[])
    AND e.sequence_number BETWEEN ($2::bigint[])[1] AND ($2::bigint[])[cardinality($2::bigint[])]
UNION ALL
SELECT 1, e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
FROM eventstore.events e
WHERE e.sequence_number = ANY ($1::bigint[])
    AND e.sequence_number BETWEEN ($1::bigint[])[1] AND ($1::bigint[])[cardinality($1::bigint[])]
