-- Purpose: return the size and use of each index of the store.
-- Parameters: none.
-- Result: one row for each index, the largest first; how often it was scanned since the statistics were reset, and how many
-- entries the scans returned. An index's partitions are added up, and a scan of each counts as one.
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
