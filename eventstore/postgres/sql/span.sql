-- Purpose: find the range of numbers of the events in a period of time, if that is a small part of the log.
-- Parameters: $1 timestamptz, $2 timestamptz   when they occurred, from and until, or null
--   $3 bigint[]  numbers of events whose tokens are wanted, ascending
-- Result: the head and tokens as of numbers.sql, and one row of branch 1: the lowest and the highest number, or none if
-- there is no such event; its sequence_number is not null if it did not search.
-- Plan: as of period.sql. Adding 0 keeps the plan from finding the lowest and highest number along the primary key.
WITH head AS MATERIALIZED (
    SELECT e.sequence_number AS number, e.token FROM eventstore.head_v2() e
), probe AS MATERIALIZED (
    SELECT count(*) FILTER (
        WHERE ($1::timestamptz IS NULL OR e.occurred_at >= $1::timestamptz)
            AND ($2::timestamptz IS NULL OR e.occurred_at <= $2::timestamptz)
    ) <= 4 AS narrow
    FROM head h
    CROSS JOIN generate_series(0, 63) AS place
    CROSS JOIN LATERAL (
        SELECT e.occurred_at FROM eventstore.events e WHERE e.sequence_number = 1 + (h.number - 1) * place / 63
    ) e
)
SELECT 0 AS branch, h.number AS sequence_number, h.token, NULL::bigint[] AS numbers
FROM head h
UNION ALL
SELECT a.branch, a.sequence_number, a.token, ARRAY[a.event_type::bigint]
FROM eventstore.archived_v1(
    ARRAY[NULL::jsonb], ARRAY[NULL::jsonb], ARRAY[0::bigint], ARRAY[$1::timestamptz], ARRAY[$2::timestamptz], NULL,
    $3::bigint[]
) a
UNION ALL
SELECT -1, e.sequence_number, e.token, NULL
FROM eventstore.events e
WHERE e.sequence_number = ANY ($3::bigint[])
    AND e.sequence_number BETWEEN ($3::bigint[])[1] AND ($3::bigint[])[cardinality($3::bigint[])]
UNION ALL
SELECT 1, CASE WHEN p.narrow THEN NULL ELSE 0 END, NULL, coalesce(s.numbers, '{}')
FROM probe p
LEFT JOIN LATERAL (
    SELECT array_remove(ARRAY[min(e.sequence_number + 0), max(e.sequence_number + 0)], NULL) AS numbers
    FROM eventstore.events e
    WHERE e.occurred_at >= coalesce($1::timestamptz, '-infinity') AND e.occurred_at <= coalesce($2::timestamptz, 'infinity')
) s ON p.narrow
