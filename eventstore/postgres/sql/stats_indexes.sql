-- Purpose: see how large each index of the store is, and whether it is used.
-- Parameters: none.
-- Result: one row an index, the largest first; how often it was scanned since the statistics were
-- reset, and how many entries that brought. An index's partitions are added up: a scan of each is a scan.
SELECT r.relname::text AS name,
    k.relname::text AS table_name,
    sum(pg_relation_size(i.indexrelid))::bigint AS bytes,
    sum(i.idx_scan)::bigint AS scans,
    sum(i.idx_tup_read)::bigint AS entries_read
FROM pg_stat_all_indexes i
JOIN pg_class r ON r.oid = coalesce(pg_partition_root(i.indexrelid)::oid, i.indexrelid)
JOIN pg_index x ON x.indexrelid = r.oid
JOIN pg_class k ON k.oid = x.indrelid
WHERE i.schemaname = 'eventstore'
GROUP BY r.oid, r.relname, k.relname
ORDER BY bytes DESC, name
