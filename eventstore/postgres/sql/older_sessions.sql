-- Purpose: find the sessions and transactions that may still need what the finishing of a migration removes.
-- Parameters: $1 text, the marker in the names of sessions that do not need it; a pooler may add to a name. $2 text, the
-- name of the library's sessions whose program gave none.
-- Result: one row for each name and role that may append to this store; sessions of other stores in the database do not
-- count. They are the sessions without the marker, a superuser's only if it is named as this program names its own; and
-- transactions older than the migration, prepared ones included.
WITH migrated AS MATERIALIZED (
    SELECT v.migrated_at FROM eventstore.schema_version v
), appender AS MATERIALIZED (
    SELECT r.oid, r.rolname, r.rolsuper
    FROM pg_roles r
    CROSS JOIN pg_proc p
    WHERE p.pronamespace = 'eventstore'::regnamespace AND p.proname = 'append_v1'
        AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
), session AS MATERIALIZED (
    SELECT coalesce(nullif(a.application_name, ''), 'a session without a name') AS name, r.rolname::text AS role,
        a.xact_start < m.migrated_at IS TRUE AS in_old_transaction,
        strpos(a.application_name, $1) = 0
            AND (NOT r.rolsuper OR a.application_name LIKE 'worker%' OR a.application_name = $2) AS is_older
    FROM pg_stat_activity a
    JOIN appender r ON r.oid = a.usesysid
    CROSS JOIN migrated m
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
        AND coalesce(a.backend_type, 'client backend') = 'client backend'
)
SELECT s.name, s.role, count(*) AS sessions, false AS is_transaction
FROM session s
WHERE s.is_older
GROUP BY s.name, s.role
UNION ALL
SELECT s.name, s.role, count(*), true
FROM session s
WHERE s.in_old_transaction AND NOT s.is_older
GROUP BY s.name, s.role
UNION ALL
SELECT 'the prepared transaction ' || x.gid, x.owner::text, 1, true
FROM pg_prepared_xacts x
JOIN appender r ON r.rolname = x.owner
CROSS JOIN migrated m
WHERE x.database = current_database() AND x.prepared < m.migrated_at
ORDER BY 1, 2
