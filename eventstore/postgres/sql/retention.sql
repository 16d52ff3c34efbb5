-- Purpose: find what retains a server's WAL and old rows although nothing uses them.
-- Parameters: none.
-- Result: one row: the replication slots without a reader, and how many bytes of WAL each retains; the prepared
-- transactions that are older than an hour; and whether hot_standby_feedback is on.
SELECT
    ARRAY(
        SELECT s.slot_name::text FROM pg_replication_slots s WHERE NOT s.active ORDER BY s.slot_name
    ) AS slots,
    ARRAY(
        SELECT coalesce(pg_wal_lsn_diff(
            CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn
        ), 0)::bigint
        FROM pg_replication_slots s WHERE NOT s.active ORDER BY s.slot_name
    ) AS kept,
    ARRAY(
        SELECT x.gid FROM pg_prepared_xacts x WHERE x.prepared < clock_timestamp() - interval '1 hour' ORDER BY x.gid
    ) AS prepared,
    current_setting('hot_standby_feedback')::boolean AS feedback
