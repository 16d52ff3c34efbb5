-- Purpose: check whether the contents of the tables belong together. An interrupted restore loads only some of them.
-- Parameters: $1 integer, about how many pages of the receipts to read.
-- Result: one row: the first and the last event's number, 0 if there is none; the last archived number, 0 if there is none;
-- the head that earlier releases read, null if they can no longer run; how many receipts were read, and how many of them
-- name a position that is not in the log. Archived positions cannot be checked.
-- Plan: the log's ends by the primary key, some pages of the receipts, and for each receipt the primary key.
SELECT
    coalesce((SELECT e.sequence_number FROM eventstore.events e ORDER BY e.sequence_number LIMIT 1), 0) AS first,
    coalesce((SELECT e.sequence_number FROM eventstore.head_v2() e), 0) AS last,
    a.archived,
    (SELECT (to_jsonb(s) ->> 'head')::bigint FROM eventstore.store s WHERE s.singleton) AS kept_head,
    r.looked_at, r.strays
FROM (
    SELECT coalesce(max(a.last_number), 0) AS archived FROM eventstore.archives a WHERE a.archived_at IS NOT NULL
) a
CROSS JOIN LATERAL (
    SELECT count(*) AS looked_at,
        count(*) FILTER (
            -- A subquery with one value always uses the index; EXISTS may scan all events.
            WHERE r.position > a.archived
                AND (SELECT e.token FROM eventstore.events e WHERE e.sequence_number = r.position)
                    IS DISTINCT FROM r.position_token
        ) AS strays
    FROM eventstore.receipts r
        TABLESAMPLE SYSTEM (least(
            100.0 * $1::integer * current_setting('block_size')::bigint
                / greatest(pg_relation_size('eventstore.receipts'), 1),
            100.0
        )::real)
) r
