-- Purpose: list the stored states by view.
-- Parameters: $1 text, $2 text, $3 integer   only those of this domain, view and version, or null for any.
-- Result: one row for each version of a view: the number of states, their total size, the lowest and the highest position,
-- and when the latest was written.
-- Plan: a scan of the whole table; it runs for an administrator.
SELECT s.domain, s.view, s.version, count(*) AS states, sum(octet_length(s.state))::bigint AS bytes,
    min(s.position) AS lowest, max(s.position) AS highest, max(s.written_at) AS written_at
FROM eventstore.states s
WHERE ($1::text IS NULL OR s.domain = $1) AND ($2::text IS NULL OR s.view = $2)
    AND ($3::integer IS NULL OR s.version = $3)
GROUP BY s.domain, s.view, s.version
ORDER BY s.domain, s.view, s.version
