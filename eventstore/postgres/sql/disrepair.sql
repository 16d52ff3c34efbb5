-- Purpose: find what a restore may have left disabled or outdated.
-- Parameters: none.
-- Result: one row: the triggers of this schema that do not always fire, each with its table; and whether the head that
-- earlier releases read differs from the log's.
WITH silent AS (
    SELECT t.tgrelid::regclass::text AS table_name, t.tgname::text AS name
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    WHERE (c.oid = 'eventstore.events'::regclass OR c.oid IN (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = 'eventstore.events'::regclass))
        AND t.tgenabled <> 'A' AND t.tgname IN ('events_are_facts', 'event_is_a_fact', 'events_keep_head')
)
SELECT ARRAY(SELECT s.name FROM silent s ORDER BY s.table_name, s.name) AS triggers,
    ARRAY(SELECT s.table_name FROM silent s ORDER BY s.table_name, s.name) AS tables,
    coalesce((SELECT (to_jsonb(s) ->> 'head')::bigint FROM eventstore.store s WHERE s.singleton) <> coalesce(
        (SELECT e.sequence_number FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1), 0
    ), false) AS behind
