-- Purpose: look up everything of a server and its event store that can be wrong without an immediate failure.
-- Parameters: none.
-- Result: one row. Privileges are those of the asking role, settings those of a session that sets none itself.
SELECT v.version AS schema_version, v.finished,
    coalesce((SELECT e.sequence_number FROM eventstore.head_v2() e), 0) AS head,
    pg_is_in_recovery() AS in_recovery,
    pg_backend_pid() AS process,
    current_user::text AS role,
    current_setting('default_transaction_isolation') AS isolation,
    current_setting('synchronous_commit') AS durability,
    current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer
        - coalesce(current_setting('reserved_connections', true)::integer, 0) AS connections,
    (
        SELECT coalesce(bool_and(has_table_privilege(t.name, 'SELECT')), false)
        FROM unnest(ARRAY[
            'eventstore.store', 'eventstore.events', 'eventstore.receipts', 'eventstore.states', 'eventstore.schema_version',
            'eventstore.archives', 'eventstore.archive_fields'
        ]) AS t (name)
    ) AND (
        SELECT count(*) = 7
        FROM pg_proc p
        WHERE p.pronamespace = 'eventstore'::regnamespace AND p.proname IN (
            'append_v3', 'hold_v1', 'put_state_v1', 'head_v2', 'extend_v1', 'archived_v1', 'archive_hits_v1'
        )
            AND has_function_privilege(p.oid, 'EXECUTE')
    ) AS may_work,
    (
        SELECT bool_or(has_table_privilege(t.name, 'INSERT, UPDATE, DELETE, TRUNCATE'))
        FROM unnest(ARRAY[
            'eventstore.store', 'eventstore.events', 'eventstore.receipts', 'eventstore.states', 'eventstore.schema_version'
        ]) AS t (name)
    ) AS may_change,
    ARRAY(
        SELECT n.name
        FROM unnest(ARRAY['events_payload', 'events_type', 'events_occurred_at']) AS n (name)
        WHERE NOT EXISTS (
            SELECT FROM pg_index i
            WHERE i.indexrelid = to_regclass('eventstore.' || n.name)
                -- For a log in partitions it is valid if each partition has its own.
                AND i.indrelid = 'eventstore.events'::regclass AND i.indisvalid
        )
    ) AS missing_indexes,
    (
        SELECT coalesce(bool_and(
            c.reloptions && ARRAY['fastupdate=off', 'fastupdate=false', 'fastupdate=no', 'fastupdate=0'] IS TRUE
        ), false)
        FROM pg_class c
        WHERE c.oid = to_regclass('eventstore.events_payload') OR c.oid IN (
            SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = to_regclass('eventstore.events_payload')
        )
    ) AS without_pending_list,
    (
        SELECT count(*) = 2 * (1 + (SELECT count(*) FROM eventstore.partitions)) FROM pg_trigger t
        WHERE (t.tgrelid = 'eventstore.events'::regclass OR t.tgrelid IN (SELECT p.oid FROM eventstore.partitions p))
            AND t.tgname IN ('events_are_facts', 'event_is_a_fact') AND t.tgenabled = 'A'
    ) AS guarded,
    (SELECT p.size FROM eventstore.partitioning p) AS partition_size,
    (SELECT count(*) FROM eventstore.partitions) AS partitions,
    (SELECT max(p.last_number) FROM eventstore.partitions p) AS last_number,
    (
        SELECT (regexp_match(pg_get_constraintdef(c.oid), '< ''?(\d+)'))[1]::bigint - 1
        FROM pg_constraint c
        WHERE c.conrelid = 'eventstore.events'::regclass AND c.conname = 'events_first_partition'
    ) AS bound,
    (SELECT count(*) FROM eventstore.archives a WHERE a.archived_at IS NOT NULL) AS archives,
    ARRAY(
        SELECT DISTINCT a.place FROM eventstore.archives a WHERE a.archived_at IS NOT NULL ORDER BY a.place
    ) AS archive_places
FROM eventstore.store s
CROSS JOIN eventstore.schema_version v
WHERE s.singleton
