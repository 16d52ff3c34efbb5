-- Purpose: read the events of one query within a period of time, if that is a small part of the log, and the head, from one
-- snapshot.
-- Parameters: $1 text[]  the event types, or null for any
--   $2 bigint           only events above this number
--   $3 timestamptz, $4 timestamptz   when they occurred, from and until, or null
--   $5 bigint           the most events to return, or null for all
--   $6 bigint[]         numbers of events whose tokens are wanted, ascending
-- Result: as of query.sql, each event of branch 1; and a row of branch -3 if it did not search, because another statement
-- is faster.
-- Plan: a sample of events along the log shows how large a part of it the period is, and a look into the index on the type
-- whether it has few matches. Then the index on the time, whose ranges are as wide as the log is long. The type is written
-- so that no plan takes its index instead.
WITH head AS MATERIALIZED (
    SELECT e.sequence_number AS number, e.token FROM eventstore.head_v2() e
), probe AS MATERIALIZED (
    SELECT count(*) FILTER (
        WHERE ($3::timestamptz IS NULL OR e.occurred_at >= $3::timestamptz)
            AND ($4::timestamptz IS NULL OR e.occurred_at <= $4::timestamptz)
    ) <= 4 AS narrow
    FROM head h
    CROSS JOIN generate_series(0, 63) AS place
    CROSS JOIN LATERAL (
        SELECT e.occurred_at FROM eventstore.events e WHERE e.sequence_number = 1 + (h.number - 1) * place / 63
    ) e
), way AS MATERIALIZED (
    SELECT p.narrow AND ($1::text[] IS NULL OR (
        SELECT count(*) FROM (SELECT FROM eventstore.events e WHERE e.event_type = ANY ($1::text[]) LIMIT 2000) few
    ) = 2000) AS is_good
    FROM probe p
)
SELECT 0 AS branch, h.number AS sequence_number, h.token, NULL AS event_type, NULL::timestamptz AS occurred_at,
    NULL::text AS payload, NULL::text AS metadata
FROM head h
UNION ALL
SELECT -3, 0, 0, NULL, NULL, NULL, NULL
FROM way w
WHERE NOT w.is_good
UNION ALL
SELECT a.branch, a.sequence_number, a.token, a.event_type, NULL, NULL, NULL
FROM eventstore.archived_v1(
    ARRAY[to_jsonb($1::text[])], ARRAY[NULL::jsonb], ARRAY[$2::bigint], ARRAY[$3::timestamptz], ARRAY[$4::timestamptz],
    NULL, $6::bigint[]
) a
UNION ALL
SELECT -1, e.sequence_number, e.token, NULL, NULL, NULL, NULL
FROM eventstore.events e
WHERE e.sequence_number = ANY ($6::bigint[])
    AND e.sequence_number BETWEEN ($6::bigint[])[1] AND ($6::bigint[])[cardinality($6::bigint[])]
UNION ALL
SELECT 1, e.*
FROM way w
CROSS JOIN LATERAL (
    SELECT e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
    FROM eventstore.events e
    WHERE e.occurred_at >= coalesce($3::timestamptz, '-infinity') AND e.occurred_at <= coalesce($4::timestamptz, 'infinity')
        AND e.sequence_number + 0 > $2::bigint
        AND ($1::text[] IS NULL OR e.event_type || '' = ANY ($1::text[]))
    LIMIT $5::bigint
) e
WHERE w.is_good
