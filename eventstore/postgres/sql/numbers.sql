-- Purpose: find the numbers of the events that one query matches, without the events, unless they are too many.
-- Parameters: $1 to $6 as in query.sql, of one query; types and object not both null
--   $7 bigint    only events up to this number
--   $8 bigint    the most numbers to find for one branch, or for one type of a branch without an object
--   $9 bigint[]  numbers of events whose tokens are wanted, ascending
-- Result: the head and tokens as of query.sql, and one row of branch 1: the numbers, in order, each once. If the limit was
-- reached, some are missing, and sequence_number is about how far they are complete; otherwise it is null. Archived ranges
-- are reported as by query.sql, but in the column numbers instead of event_type.
-- Plan: the index on the payload, or the one on the type, once for each branch. The number is added to 0, or compared
-- together with the type, so that no plan walks the primary key instead.
WITH branch AS MATERIALIZED (
    SELECT b.*
    FROM unnest(
        $1::text::jsonb[], $2::text[]::jsonb[], $3::text::integer[], $4::text::bigint[],
        $5::text::timestamptz[], $6::text::timestamptz[]
    )
        AS b (types, contained, fields, above, since, until)
), found AS MATERIALIZED (
    SELECT ARRAY(
        SELECT e.sequence_number
        FROM eventstore.events e
        WHERE e.payload @> b.contained
            AND (b.types IS NULL OR b.types ? e.event_type)
            AND e.sequence_number + 0 > b.above AND e.sequence_number + 0 <= $7::bigint
            AND (b.since IS NULL OR e.occurred_at >= b.since)
            AND (b.until IS NULL OR e.occurred_at <= b.until)
        LIMIT $8::bigint
    ) AS numbers
    FROM branch b
    WHERE b.contained IS NOT NULL
    UNION ALL
    SELECT ARRAY(
        SELECT e.sequence_number
        FROM eventstore.events e
        WHERE (e.event_type, e.sequence_number) > (t.event_type, b.above)
            AND (e.event_type, e.sequence_number) <= (t.event_type, $7::bigint)
            AND (b.since IS NULL OR e.occurred_at >= b.since)
            AND (b.until IS NULL OR e.occurred_at <= b.until)
        ORDER BY e.event_type, e.sequence_number
        LIMIT $8::bigint
    )
    FROM branch b
    CROSS JOIN LATERAL jsonb_array_elements_text(b.types) AS t (event_type)
    WHERE b.contained IS NULL
)
(
    SELECT 0 AS branch, e.sequence_number, e.token, NULL::bigint[] AS numbers
    FROM eventstore.head_v2() e
)
UNION ALL
SELECT a.branch, a.sequence_number, a.token, ARRAY[a.event_type::bigint]
FROM eventstore.archived_v1(
    $1::text::jsonb[], $2::text[]::jsonb[], $4::text::bigint[],
    $5::text::timestamptz[], $6::text::timestamptz[], $7::bigint, $9::bigint[]
) a
UNION ALL
SELECT -1, e.sequence_number, e.token, NULL
FROM eventstore.events e
WHERE e.sequence_number = ANY ($9::bigint[])
    AND e.sequence_number BETWEEN ($9::bigint[])[1] AND ($9::bigint[])[cardinality($9::bigint[])]
UNION ALL
SELECT 1, (SELECT min(f.numbers[$8::bigint]) FROM found f), NULL,
    ARRAY(SELECT DISTINCT n.number FROM found f, unnest(f.numbers) AS n (number) ORDER BY n.number)
