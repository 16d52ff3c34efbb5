-- Purpose: return the size and maintenance of each table of the store.
-- Parameters: none.
-- Result: one row for each table, the largest first. The partitions of a table are added up, and the times are the latest
-- of any. Numbers of rows are estimates of the statistics.
SELECT r.relname::text AS name,
    sum(pg_table_size(c.oid))::bigint AS bytes,
    sum(pg_indexes_size(c.oid))::bigint AS index_bytes,
    sum(greatest(t.n_live_tup, c.reltuples::bigint, 0))::bigint AS estimated_rows,
    sum(t.n_dead_tup)::bigint AS dead_rows,
    max(greatest(t.last_vacuum, t.last_autovacuum)) AS vacuumed_at,
    max(greatest(t.last_analyze, t.last_autoanalyze)) AS analyzed_at,
    count(*) FILTER (WHERE c.relispartition) AS partitions
FROM pg_class c
JOIN pg_class r ON r.oid = coalesce(pg_partition_root(c.oid)::oid, c.oid)
JOIN pg_stat_all_tables t ON t.relid = c.oid
WHERE c.relnamespace = 'eventstore'::regnamespace AND c.relkind = 'r'
GROUP BY r.oid, r.relname
ORDER BY sum(pg_total_relation_size(c.oid)) DESC, name
