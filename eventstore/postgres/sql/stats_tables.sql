-- Purpose: see how large each table of the store is, and how it is kept.
-- Parameters: none.
-- Result: one row a table, the largest first. The numbers of rows are estimates, of the statistics.
SELECT c.relname::text AS name,
    pg_table_size(c.oid) AS bytes,
    pg_indexes_size(c.oid) AS index_bytes,
    greatest(t.n_live_tup, c.reltuples::bigint, 0) AS estimated_rows,
    t.n_dead_tup AS dead_rows,
    greatest(t.last_vacuum, t.last_autovacuum) AS vacuumed_at,
    greatest(t.last_analyze, t.last_autoanalyze) AS analyzed_at
FROM pg_class c
JOIN pg_stat_all_tables t ON t.relid = c.oid
WHERE c.relnamespace = 'eventstore'::regnamespace
ORDER BY pg_total_relation_size(c.oid) DESC, name
