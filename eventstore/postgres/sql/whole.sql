-- Purpose: see whether what is in the tables belongs together. A restore that was cut short loads some of them.
-- Parameters: $1 integer, about how many pages of the receipts to look at.
-- Result: one row: the first and the last event's number, 0 if there is none; the last one that is archived, 0 if none is;
-- the head that older builds read, null where none is served; how many receipts were looked at, and how many of them name
-- a position that is not in the log. Of what is archived nobody can tell.
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
            -- A subquery with one value is always looked up; one that asks for existence may scan all events.
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
