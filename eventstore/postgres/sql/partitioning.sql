-- Purpose: look up the layout of the log, and what prevents keeping it in partitions.
-- Parameters: none.
-- Result: one row: how many numbers each further partition takes, null if the log is one table; and the objects that depend
-- on that table itself, so that they would miss further partitions: views, functions and policies that read it, foreign
-- keys, publications, and triggers that are not the store's.
SELECT (SELECT p.size FROM eventstore.partitioning p) AS size,
    ARRAY(
        SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0)
        FROM pg_depend d
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = 'eventstore.events'::regclass AND d.deptype = 'n'
            AND d.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass, 'pg_policy'::regclass)
        UNION ALL
        SELECT pg_describe_object('pg_constraint'::regclass, c.oid, 0)
        FROM pg_constraint c
        WHERE c.confrelid = 'eventstore.events'::regclass AND c.conparentid = 0
        UNION ALL
        SELECT 'publication ' || p.pubname FROM pg_publication_tables p
        WHERE p.schemaname = 'eventstore' AND p.tablename = 'events'
        UNION ALL
        SELECT pg_describe_object('pg_trigger'::regclass, t.oid, 0)
        FROM pg_trigger t
        WHERE t.tgrelid = 'eventstore.events'::regclass AND NOT t.tgisinternal
            AND t.tgname NOT IN ('events_are_facts', 'event_is_a_fact', 'events_keep_head')
        ORDER BY 1
    ) AS obstacles
