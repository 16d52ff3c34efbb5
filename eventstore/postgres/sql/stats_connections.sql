-- Purpose: count the connections to the database.
-- Parameters: none.
-- Result: one row for each application name, the most connections first. Connections of other roles are counted as active
-- or waiting only if the asking role may see that.
SELECT coalesce(nullif(a.application_name, ''), '-') AS name,
    count(*) AS connections,
    count(*) FILTER (WHERE a.state = 'active') AS active,
    count(*) FILTER (WHERE a.state LIKE 'idle in transaction%') AS idle_in_transaction,
    count(*) FILTER (WHERE a.wait_event_type = 'Lock') AS waiting
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
GROUP BY 1
ORDER BY connections DESC, name
