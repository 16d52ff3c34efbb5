-- Purpose: read the tails that several queries need, and the head, from one snapshot: the events above a number near the
-- head.
-- Parameters: $1 to $6 as in query.sql; $7 bigint, the largest distance between a branch's number and the head; $8
-- bigint[], numbers of events whose tokens are wanted, ascending; $9 bigint, the lowest number of $4.
-- Result: as of query.sql, without a limit, and one row of branch -2 with the number of events that were walked, and how
-- many of them have a requested type. Nothing for a branch that is further behind than $7: the caller must compare the
-- branch's number with the head. The other branches are answered.
-- Plan: the tail by primary key; the fields of events with a type of any branch expanded once, and joined with the
-- branches' fields by equality. An index on the payload would fetch a key's whole history instead. No event so near to the
-- head is archived, only what $8 may name.
WITH head AS MATERIALIZED (
    SELECT e.sequence_number AS number, e.token FROM eventstore.head_v2() e
), branch AS MATERIALIZED (
    SELECT b.*
    FROM unnest(
        $1::text::jsonb[], $2::text[]::jsonb[], $3::text::integer[], $4::text::bigint[],
        $5::text::timestamptz[], $6::text::timestamptz[]
    )
        WITH ORDINALITY AS b (types, contained, fields, above, since, until, branch)
    CROSS JOIN head h
    WHERE h.number - b.above <= $7::bigint
), walk AS MATERIALIZED (
    SELECT least(min(b.above), h.number) AS lowest, h.number AS highest
    FROM branch b CROSS JOIN head h
    GROUP BY h.number
), event AS MATERIALIZED (
    SELECT e.sequence_number AS number, e.event_type, e.payload
    FROM eventstore.events e
    WHERE e.sequence_number > $9::bigint AND e.sequence_number = ANY (ARRAY(SELECT generate_series(w.lowest + 1, w.highest) FROM walk w)) AND (
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
FROM eventstore.archived_v1(NULL, NULL, NULL, NULL, NULL, NULL, $8::bigint[]) a
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
    AND e.sequence_number > b.above AND e.sequence_number > $9::bigint
    AND (b.since IS NULL OR e.occurred_at >= b.since)
    AND (b.until IS NULL OR e.occurred_at <= b.until)
