-- Purpose: lift what a database or a role sets for its sessions and what would leave the outcome of a statement unknown:
-- time limits, which interrupt an append or a migration; and a level of messages that hides warnings, one of which tells
-- that a commit did not wait for its standby. Set what decides how values are read and written as text: NULL in arrays,
-- and the time zone, in which the year of the first or the last times of the calendar may lie outside it. And let the
-- server find within a minute that the client's machine or network is gone: by the system's own limit, its session would
-- keep its locks for two hours.
-- Parameters: none.
-- Result: one row: how many settings were changed. Settings that the server does not know are left out, and so are
-- keepalives that are set to less.
SELECT count(set_config(l.name, l.value, false)) AS changed
FROM (VALUES
    ('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'),
    ('client_min_messages', 'warning'), ('TimeZone', 'UTC'), ('array_nulls', 'on'),
    ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3')
) AS l (name, value)
WHERE CASE
    WHEN l.name = 'client_min_messages' THEN current_setting(l.name) = 'error'
    WHEN starts_with(l.name, 'tcp_') THEN NOT current_setting(l.name)::integer BETWEEN 1 AND l.value::integer
    ELSE current_setting(l.name, true) <> l.value
END
