-- Purpose: lift what a database or a role sets for its sessions and what would leave the outcome of a statement unknown:
-- time limits, which interrupt an append or a migration; and a level of messages that hides warnings, one of which tells
-- that a commit did not wait for its standby.
-- Parameters: none.
-- Result: one row: how many settings were changed. Settings that the server does not know are left out.
SELECT count(set_config(l.name, l.value, false)) AS lifted
FROM (VALUES
    ('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'),
    ('client_min_messages', 'warning')
) AS l (name, value)
WHERE CASE l.name
    WHEN 'client_min_messages' THEN current_setting(l.name) = 'error'
    ELSE current_setting(l.name, true) <> l.value
END
