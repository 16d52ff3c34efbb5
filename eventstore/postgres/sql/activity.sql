-- Purpose: tell whether a server process works at a statement.
-- Parameters: $1 integer, the process's id.
-- Result: one row if it does, if only by waiting; none if it is idle or gone. Everybody may see processes of one's own role.
SELECT true AS works
FROM pg_stat_activity
WHERE pid = $1 AND state = 'active'
