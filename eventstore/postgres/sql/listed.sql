-- Purpose: read events by their numbers, and the head, from one snapshot.
-- Parameters: $1 bigint[], the numbers; $2 bigint[], numbers of events whose tokens are asked for.
-- Result: as of query.sql, each event of branch 1.
-- Plan: the primary key.
(
    SELECT 0 AS branch, e.sequence_number, e.token, NULL AS event_type, NULL::timestamptz AS occurred_at,
        NULL::text AS payload, NULL::text AS metadata
    FROM eventstore.events e
    ORDER BY e.sequence_number DESC
    LIMIT 1
)
UNION ALL
SELECT -1, e.sequence_number, e.token, NULL, NULL, NULL, NULL
FROM eventstore.events e
WHERE e.sequence_number = ANY ($2::bigint[])
UNION ALL
SELECT 1, e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
FROM eventstore.events e
WHERE e.sequence_number = ANY ($1::bigint[])
