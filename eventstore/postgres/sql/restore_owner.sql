-- Purpose: write the statement that gives the table of restore_begin.sql to the owner of the log: another role may restore.
-- Parameters: $1 text, the table's name.
-- Result: one row: the statement.
SELECT format('ALTER TABLE eventstore.%I OWNER TO %s', $1::text, c.relowner::regrole)
FROM pg_class c
WHERE c.oid = 'eventstore.events'::regclass
