-- Purpose: lift the time limits that a database or a role sets for its sessions. One that cuts an append or a migration short
-- leaves it half done, or leaves open whether it happened.
-- Parameters: none.
-- Result: one row, how many limits there were. A server knows only some of them.
SELECT count(set_config(l.name, '0', false)) AS lifted
FROM unnest(ARRAY[
    'statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout'
]) AS l (name)
WHERE current_setting(l.name, true) <> '0'
