-- Purpose: see what states are stored.
-- Parameters: $1 text, $2 text, $3 integer   only those of this domain, view and version, or null for any.
-- Result: a row for each version of a view: how many, their size together, the lowest and the highest position, and when
-- one was written last.
-- Plan: the table from end to end; it is a person's question.
SELECT s.domain, s.view, s.version, count(*) AS states, sum(octet_length(s.state))::bigint AS bytes,
    min(s.position) AS lowest, max(s.position) AS highest, max(s.written_at) AS written_at
FROM eventstore.states s
WHERE ($1::text IS NULL OR s.domain = $1) AND ($2::text IS NULL OR s.view = $2)
    AND ($3::integer IS NULL OR s.version = $3)
GROUP BY s.domain, s.view, s.version
ORDER BY s.domain, s.view, s.version
