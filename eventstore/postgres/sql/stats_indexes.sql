-- Purpose: see how large each index of the store is, and whether it is used.
-- Parameters: none.
-- Result: one row an index, the largest first; how often it was scanned since the statistics were
-- reset, and how many entries that brought.
SELECT i.indexrelname::text AS name,
    i.relname::text AS table_name,
    pg_relation_size(i.indexrelid) AS bytes,
    i.idx_scan AS scans,
    i.idx_tup_read AS entries_read
FROM pg_stat_all_indexes i
WHERE i.schemaname = 'eventstore'
ORDER BY bytes DESC, name
