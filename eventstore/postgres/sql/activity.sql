-- Purpose: check whether a server process is working on a statement.
-- Parameters: $1 integer, the process's id.
-- Result: one row if it is, even if it waits; none if it is idle or gone. Every role may see the processes of its own.
SELECT true AS works
FROM pg_stat_activity
WHERE pid = $1 AND state = 'active'
