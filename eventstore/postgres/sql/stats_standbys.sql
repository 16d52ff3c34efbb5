-- Purpose: list the standbys that receive from this server, with their progress.
-- Parameters: none.
-- Result: one row for each standby; all but its name is null unless the asking role may see it.
SELECT coalesce(nullif(r.application_name, ''), '-') AS name,
    r.client_addr::text AS address,
    r.state,
    r.sync_state,
    pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, r.replay_lsn
    )::bigint AS bytes_behind,
    extract(epoch FROM r.replay_lag)::float8 AS seconds_behind
FROM pg_stat_replication r
ORDER BY name, address
