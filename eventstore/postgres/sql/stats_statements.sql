-- Purpose: list the statements on the store that have taken the most time.
-- Parameters: $1 bigint, how many.
-- Result: up to $1 rows, times in seconds, without constants; statements of other roles only if the asking role may see
-- them. The extension's schema must be in the search path.
SELECT regexp_replace(regexp_replace(s.query, '--[^\n]*', '', 'g'), '\s+', ' ', 'g') AS text,
    s.calls,
    s.total_exec_time / 1000 AS total_seconds,
    s.mean_exec_time / 1000 AS mean_seconds,
    s.max_exec_time / 1000 AS max_seconds
FROM pg_stat_statements s
WHERE s.dbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND s.query ~ '(^|[^a-z0-9_])eventstore[.]'
ORDER BY s.total_exec_time DESC
LIMIT $1
