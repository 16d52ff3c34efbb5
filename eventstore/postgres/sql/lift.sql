-- Purpose: lift the time limits that a database or a role sets for its sessions. A limit that interrupts an append or a
-- migration leaves it incomplete, or leaves unknown whether it was committed.
-- Parameters: none.
-- Result: one row: how many limits there were. Limits that the server does not know are left out.
SELECT count(set_config(l.name, '0', false)) AS lifted
FROM unnest(ARRAY[
    'statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout'
]) AS l (name)
WHERE current_setting(l.name, true) <> '0'
