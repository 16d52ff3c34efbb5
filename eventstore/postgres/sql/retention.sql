-- Purpose: see what keeps a server's log files and old rows although nobody needs them.
-- Parameters: none.
-- Result: one row: the slots that nobody reads from, and how many bytes of log each keeps; the prepared transactions that are
-- older than an hour; and whether a standby tells its primary which rows its reads need.
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
