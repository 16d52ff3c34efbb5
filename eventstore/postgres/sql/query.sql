-- Purpose: read the whole histories that several queries need, and the head, from one snapshot.
-- Parameters: arrays with one element for each alternative ("branch") of any of the queries, numbered 1, 2, 3 …; all arrays
-- of branches but $2 come as text
--   $1 jsonb[]   per branch: an array of event types, or null for any
--   $2 jsonb[]   per branch: an object that the payload must contain, or null for any; not both null
--   $3 integer[] per branch: the number of fields of that object; tail.sql needs it
--   $4 bigint[]  per branch: only events above this number
--   $5 timestamptz[], $6 timestamptz[]   per branch: only events that occurred from and until, or null
--   $7 bigint    the most events to return of one branch, or null for all
--   $8 bigint[]  numbers of events whose tokens are wanted, ascending
-- Result: events, each with its branch, in no particular order; one row of branch 0 with the number and token of the head,
-- unless the log is empty; rows of branch -1 with those of the events of $8; and rows of branch -4 and -5 for what is
-- archived, as returned by eventstore.archive_hits_v1.
-- Plan: the log's last entry by the primary key; then the index on the payload, or the one on the type, once for each
-- branch. The number is added to 0 so that no plan walks the primary key instead. Bounds that are parameters themselves
-- open only the partitions between them.
WITH branch AS MATERIALIZED (
    SELECT b.*
    FROM unnest(
        $1::text::jsonb[], $2::text[]::jsonb[], $3::text::integer[], $4::text::bigint[],
        $5::text::timestamptz[], $6::text::timestamptz[]
    )
        WITH ORDINALITY AS b (types, contained, fields, above, since, until, branch)
)
(
    SELECT 0 AS branch, e.sequence_number, e.token, NULL AS event_type, NULL::timestamptz AS occurred_at,
        NULL::text AS payload, NULL::text AS metadata
    FROM eventstore.head_v2() e
)
UNION ALL
SELECT a.branch, a.sequence_number, a.token, a.event_type, NULL, NULL, NULL
FROM eventstore.archived_v1(
    $1::text::jsonb[], $2::text[]::jsonb[], $4::text::bigint[],
    $5::text::timestamptz[], $6::text::timestamptz[], NULL, $8::bigint[]
) a
UNION ALL
SELECT -1, e.sequence_number, e.token, NULL, NULL, NULL, NULL
FROM eventstore.events e
WHERE e.sequence_number = ANY ($8::bigint[])
    AND e.sequence_number BETWEEN ($8::bigint[])[1] AND ($8::bigint[])[cardinality($8::bigint[])]
UNION ALL
SELECT b.branch, e.*
FROM branch b
CROSS JOIN LATERAL (
    SELECT e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
    FROM eventstore.events e
    WHERE e.payload @> b.contained
        AND (b.types IS NULL OR b.types ? e.event_type)
        AND e.sequence_number + 0 > b.above
        AND (b.since IS NULL OR e.occurred_at >= b.since)
        AND (b.until IS NULL OR e.occurred_at <= b.until)
    LIMIT $7::bigint
) e
WHERE b.contained IS NOT NULL
UNION ALL
SELECT b.branch, e.*
FROM branch b
CROSS JOIN LATERAL (
    SELECT e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
    FROM eventstore.events e
    WHERE e.event_type = ANY (ARRAY(SELECT jsonb_array_elements_text(b.types)))
        AND e.sequence_number + 0 > b.above
        AND (b.since IS NULL OR e.occurred_at >= b.since)
        AND (b.until IS NULL OR e.occurred_at <= b.until)
    LIMIT $7::bigint
) e
WHERE b.contained IS NULL
