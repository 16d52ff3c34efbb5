-- Purpose: read the whole history of one alternative that names fields, and the head, from one snapshot. It does what
-- query.sql does, for a single query of the commonest form; its start costs the server half as much.
-- Parameters:
--   $1 jsonb[]   the objects of which the payload must contain one, as text; one at least
--   $2 text      a JSON array of event types, or null for any
--   $3 bigint    only events above this number
--   $4 bigint    the most events to return, or null for all
-- Result: as of query.sql, all events of branch 1, each once.
-- Plan: the log's last entry by the primary key; then the index on the payload, once for each object. As in query.sql,
-- neither number nor type is compared in a way that another index could serve. Parameters that come as text are parsed
-- once, in a query of their own, and not again for each event.
(
    SELECT 0 AS branch, e.sequence_number, e.token, NULL AS event_type, NULL::timestamptz AS occurred_at,
        NULL::text AS payload, NULL::text AS metadata
    FROM eventstore.head_v2() e
)
UNION ALL
SELECT a.branch, a.sequence_number, a.token, a.event_type, NULL, NULL, NULL
FROM eventstore.archived_v1(
    array_fill($2::text::jsonb, ARRAY[cardinality($1::text::jsonb[])]), $1::text::jsonb[],
    array_fill($3::bigint, ARRAY[cardinality($1::text::jsonb[])]), NULL, NULL, NULL, NULL
) a
UNION ALL
(
    SELECT 1, e.sequence_number, e.token, e.event_type, e.occurred_at, e.payload::text, e.metadata::text
    FROM eventstore.events e
    WHERE e.payload @> ANY ((SELECT $1::text::jsonb[])::jsonb[])
        AND ($2::text IS NULL OR (SELECT $2::text::jsonb) ? e.event_type)
        AND e.sequence_number + 0 > $3::bigint
    LIMIT $4::bigint
)
