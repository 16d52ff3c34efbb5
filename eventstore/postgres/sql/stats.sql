-- Purpose: return the size of the database, the head of its log, and what the asking role may see of it.
-- Parameters: none.
-- Result: one row. The counts of the cache are since the statistics were reset, or null; extension is the schema of
-- pg_stat_statements, or null.
SELECT coalesce((SELECT e.sequence_number FROM eventstore.head_v2() e), 0) AS head,
    v.version AS schema_version,
    current_user::text AS role,
    pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all,
    pg_is_in_recovery() AS in_recovery,
    current_setting('server_version') AS server_version,
    current_setting('max_connections')::integer AS max_connections,
    pg_database_size(current_database()) AS bytes,
    (SELECT coalesce(max(a.last_number), 0) FROM eventstore.archives a WHERE a.archived_at IS NOT NULL) AS archived,
    d.blks_hit::float8 / nullif(d.blks_hit + d.blks_read, 0) AS cache_hit_ratio,
    d.deadlocks,
    d.stats_reset,
    (
        SELECT n.nspname::text
        FROM pg_extension x
        JOIN pg_namespace n ON n.oid = x.extnamespace
        WHERE x.extname = 'pg_stat_statements'
    ) AS extension
FROM eventstore.store s
CROSS JOIN eventstore.schema_version v
LEFT JOIN pg_stat_database d ON d.datname = current_database()
WHERE s.singleton
