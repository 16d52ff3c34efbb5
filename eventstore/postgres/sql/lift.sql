-- Purpose: lift the time limits that a database or a role sets for its sessions, and let the server find within a minute
-- that the client's machine or network is gone. A limit that interrupts an append or a migration leaves it incomplete,
-- or leaves unknown whether it was committed. A session of a client that is gone keeps its locks, by the system's own
-- limit for two hours.
-- Parameters: none.
-- Result: one row: how many settings were changed. Limits that the server does not know are left out, and so are
-- keepalives that are set to less.
SELECT count(set_config(l.name, l.value, false)) AS changed
FROM (VALUES
    ('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'),
    ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3')
) AS l (name, value)
WHERE current_setting(l.name, true) <> l.value
  AND (l.value = '0' OR NOT current_setting(l.name, true)::integer BETWEEN 1 AND l.value::integer)
