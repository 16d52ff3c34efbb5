-- Purpose: read whole histories and tails, as several queries need them, and the head, from one snapshot.
-- Parameters: $1 to $8 as in query.sql; both types and object may be null: any event
--   $9 boolean[] per branch: whether it needs a tail, which is walked if it is short enough
--   $10 bigint   the largest distance to the head of a branch whose tail is walked
--   $11 bigint   the lowest number of the branches that need a tail
-- Result: as of query.sql, and one row of branch -2 as of tail.sql. The limit holds for branches that are not walked.
-- Plan: as of tail.sql for walked branches, as of query.sql for the others, and the primary key for branches of any event.
WITH head AS MATERIALIZED (
    SELECT e.sequence_number AS number, e.token FROM eventstore.head_v2() e
), asked AS MATERIALIZED (
    SELECT b.*, b.tail AND h.number - b.above <= $10::bigint AS walked
    FROM unnest(
        $1::text::jsonb[], $2::text[]::jsonb[], $3::text::integer[], $4::text::bigint[],
        $5::text::timestamptz[], $6::text::timestamptz[], $9::text::boolean[]
    ) WITH ORDINALITY AS b (types, contained, fields, above, since, until, tail, branch)
    CROSS JOIN head h
), branch AS MATERIALIZED (
    SELECT a.* FROM asked a WHERE a.walked
), walk AS MATERIALIZED (
    SELECT least(min(b.above), h.number) AS lowest, h.number AS highest
    FROM branch b CROSS JOIN head h
    GROUP BY h.number
), event AS MATERIALIZED (
    SELECT e.sequence_number AS number, e.event_type, e.payload
    FROM eventstore.events e
    WHERE e.sequence_number > $11::bigint AND e.sequence_number = ANY (ARRAY(SELECT generate_series(w.lowest + 1, w.highest) FROM walk w)) AND (
        (SELECT bool_or(b.types IS NULL) FROM branch b)
        OR e.event_type = ANY (ARRAY(SELECT jsonb_array_elements_text(b.types) FROM branch b))
    )
), matching AS MATERIALIZED (
    SELECT p.branch, f.number, count(*) AS fulfilled
    FROM (SELECT e.number, field.key, field.value FROM event e, jsonb_each(e.payload) AS field) f
    JOIN (SELECT b.branch, field.key, field.value FROM branch b, jsonb_each(b.contained) AS field) p
        ON p.key = f.key AND p.value = f.value
    GROUP BY p.branch, f.number
    UNION ALL
    SELECT t.branch, e.number, 0
    FROM event e
    JOIN (SELECT b.branch, jsonb_array_elements_text(b.types) AS event_type FROM branch b WHERE b.contained IS NULL) t
        ON t.event_type = e.event_type
)
SELECT 0 AS branch, h.number AS sequence_number, h.token, NULL AS event_type, NULL::timestamptz AS occurred_at,
    NULL::text AS payload, NULL::text AS metadata
FROM head h
UNION ALL
SELECT -2, w.highest - w.lowest, (SELECT count(*) FROM event), NULL, NULL, NULL, NULL
FROM walk w
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
SELECT m.branch, e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
FROM matching m
JOIN branch b ON b.branch = m.branch AND b.fields = m.fulfilled
JOIN eventstore.events e ON e.sequence_number = m.number
WHERE (b.types IS NULL OR b.types ? e.event_type)
    AND e.sequence_number > b.above AND e.sequence_number > $11::bigint
    AND (b.since IS NULL OR e.occurred_at >= b.since)
    AND (b.until IS NULL OR e.occurred_at <= b.until)
UNION ALL
SELECT a.branch, e.*
FROM asked a
CROSS JOIN LATERAL (
    SELECT e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
    FROM eventstore.events e
    WHERE e.payload @> a.contained
        AND (a.types IS NULL OR a.types ? e.event_type)
        AND e.sequence_number + 0 > a.above
        AND (a.since IS NULL OR e.occurred_at >= a.since)
        AND (a.until IS NULL OR e.occurred_at <= a.until)
    LIMIT $7::bigint
) e
WHERE NOT a.walked AND a.contained IS NOT NULL
UNION ALL
SELECT a.branch, e.*
FROM asked a
CROSS JOIN LATERAL (
    SELECT e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
    FROM eventstore.events e
    WHERE e.event_type = ANY (ARRAY(SELECT jsonb_array_elements_text(a.types)))
        AND e.sequence_number + 0 > a.above
        AND (a.since IS NULL OR e.occurred_at >= a.since)
        AND (a.until IS NULL OR e.occurred_at <= a.until)
    LIMIT $7::bigint
) e
WHERE NOT a.walked AND a.contained IS NULL AND a.types IS NOT NULL
UNION ALL
SELECT a.branch, e.*
FROM asked a
CROSS JOIN LATERAL (
    SELECT e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
    FROM eventstore.events e
    WHERE e.sequence_number > a.above
        AND (a.since IS NULL OR e.occurred_at >= a.since)
        AND (a.until IS NULL OR e.occurred_at <= a.until)
    ORDER BY e.sequence_number
    LIMIT $7::bigint
) e
WHERE a.contained IS NULL AND a.types IS NULL
