-- Purpose: see what a restore may have left switched off or behind.
-- Parameters: none.
-- Result: one row, what is wrong: those of this schema's triggers that do not always fire, and whether the head that older
-- builds read is not the log's.
SELECT
    ARRAY(
        SELECT t.tgname::text FROM pg_trigger t
        WHERE t.tgrelid = 'eventstore.events'::regclass AND t.tgenabled <> 'A'
            AND t.tgname IN ('events_are_facts', 'event_is_a_fact', 'events_keep_head')
        ORDER BY 1
    ) AS triggers,
    coalesce((SELECT (to_jsonb(s) ->> 'head')::bigint FROM eventstore.store s WHERE s.singleton) <> coalesce(
        (SELECT e.sequence_number FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1), 0
    ), false) AS behind
