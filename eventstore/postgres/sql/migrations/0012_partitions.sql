-- Purpose: keep the log in partitions by number where that is asked for, and find its end by name in either layout.
-- Run by: the migration, as the owner of the schema, inside its transaction. It leaves the log's layout as it is.

-- How many numbers each further partition takes. No row: the log is one table.
CREATE TABLE eventstore.partitioning (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    size      bigint  NOT NULL CHECK (size > 0)
);

-- The table is looked for by its name: one that becomes the first partition keeps its identity, and loses that name.
CREATE VIEW eventstore.partitions AS
SELECT c.oid, c.relname::text AS name, b.bounds[1]::bigint AS first_number, b.bounds[2]::bigint - 1 AS last_number
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL regexp_match(
    pg_get_expr(c.relpartbound, c.oid), $$^FOR VALUES FROM \('?(\d+)'?\) TO \('?(\d+)'?\)$$
) AS b (bounds)
WHERE i.inhparent = to_regclass('eventstore.events');

GRANT SELECT ON eventstore.partitioning, eventstore.partitions TO eventstore_runtime;

-- Purpose: look up the end of the log.
-- Result: one row, the last event's number and token, or none if the log is empty.
-- Whoever calls it has it written into their plan: it must stay one plain query, without settings or rights of its own.
CREATE FUNCTION eventstore.head_v1() RETURNS TABLE (sequence_number bigint, token bigint)
    LANGUAGE sql STABLE
AS 'SELECT e.sequence_number, e.token FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1';

REVOKE ALL ON FUNCTION eventstore.head_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION eventstore.head_v1 TO eventstore_runtime;

-- Purpose: have head_v1 name the partition in which the log ends now, and those after it.
-- Through the table of all partitions, each look at the end prepares a scan of every one of them. By name it costs what it
-- costs in one table. The log never ends in an earlier partition again, and later ones are named when they are made.
CREATE FUNCTION eventstore.define_head() RETURNS void
    LANGUAGE plpgsql
    SET search_path = eventstore, pg_temp
AS $$
DECLARE
    head bigint;
    body text := 'SELECT e.sequence_number, e.token FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1';
BEGIN
    IF EXISTS (SELECT FROM eventstore.partitioning) THEN
        SELECT e.sequence_number INTO head FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1;
        SELECT format(
            'SELECT l.sequence_number, l.token FROM (%s) l ORDER BY l.sequence_number DESC LIMIT 1',
            string_agg(
                format(
                    '(SELECT e.sequence_number, e.token FROM eventstore.%I e ORDER BY e.sequence_number DESC LIMIT 1)',
                    p.name
                ),
                ' UNION ALL ' ORDER BY p.first_number DESC
            )
        ) INTO body
        FROM eventstore.partitions p
        WHERE p.last_number >= coalesce(head, 0);
    END IF;
    -- Every plan that has it is made anew once it changes.
    IF body <> (SELECT p.prosrc FROM pg_proc p WHERE p.oid = 'eventstore.head_v1()'::regprocedure) THEN
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION eventstore.head_v1() RETURNS TABLE (sequence_number bigint, token bigint)'
            ' LANGUAGE sql STABLE AS %L', body
        );
    END IF;
END
$$;

-- Purpose: give a table the rights on another one of the same owner.
CREATE FUNCTION eventstore.copy_rights(source regclass, target regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = eventstore, pg_temp
AS $$
DECLARE
    line record;
BEGIN
    FOR line IN
        SELECT a.privilege_type, a.is_grantable,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
        FROM pg_class c, aclexplode(c.relacl) AS a
        WHERE c.oid = source AND a.grantee <> c.relowner
    LOOP
        EXECUTE format(
            'GRANT %s ON %s TO %s%s', line.privilege_type, target, line.grantee,
            CASE WHEN line.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        );
    END LOOP;
END
$$;

-- Purpose: make the next partition, as the one before it is: its indexes, checks, rights, settings and guards.
-- Parameters: first_number, its first number; size, how many numbers it takes.
-- Made beside the others and then attached, it keeps no append waiting; made as a partition, it would lock all of them.
CREATE FUNCTION eventstore.add_partition(first_number bigint, size bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = eventstore, pg_temp
AS $$
DECLARE
    name CONSTANT text := format('events_from_%s', first_number);
    settings      text;
BEGIN
    EXECUTE format('CREATE TABLE eventstore.%I (LIKE eventstore.events INCLUDING ALL)', name);
    SELECT string_agg(format('%s = %L', split_part(o.option, '=', 1), substr(o.option, strpos(o.option, '=') + 1)), ', ')
        INTO settings
    FROM eventstore.partitions p
    JOIN pg_class c ON c.oid = p.oid
    CROSS JOIN LATERAL unnest(c.reloptions) AS o (option)
    WHERE p.last_number = add_partition.first_number - 1;
    IF settings IS NOT NULL THEN
        EXECUTE format('ALTER TABLE eventstore.%I SET (%s)', name, settings);
    END IF;
    PERFORM eventstore.copy_rights('eventstore.events', format('eventstore.%I', name)::regclass);
    -- Triggers for each row come with the attaching, those for each statement do not.
    EXECUTE format(
        'CREATE TRIGGER events_are_facts BEFORE UPDATE OR DELETE OR TRUNCATE ON eventstore.%I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change()', name
    );
    EXECUTE format('ALTER TABLE eventstore.%I ENABLE ALWAYS TRIGGER events_are_facts', name);
    EXECUTE format(
        'ALTER TABLE eventstore.events ATTACH PARTITION eventstore.%I FOR VALUES FROM (%s) TO (%s)',
        name, first_number, first_number + size
    );
END
$$;

-- Purpose: make further partitions ahead of the log's end, if it is time: there are always one and a half left.
-- Parameters: needed, how many events are about to be recorded; 0 for those that may come some day, for which nobody waits.
-- Result: one row: from which number on to call it again, the last number that there is a partition for, and how many numbers
-- each takes; none if the log is one table.
-- Errors: 55P03 a maintenance of the table, or another call, stands in the way: call it again.
CREATE FUNCTION eventstore.extend_v1(needed bigint) RETURNS TABLE (due bigint, last_number bigint, size bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = eventstore, pg_temp
    SET lock_timeout = '2s'
AS $$
#variable_conflict use_variable
DECLARE
    wanted   bigint;
    head     bigint;
    furthest bigint;
BEGIN
    SELECT p.size INTO size FROM eventstore.partitioning p;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    head := coalesce((SELECT h.sequence_number FROM eventstore.head_v1() h), 0);
    SELECT max(p.last_number) INTO furthest FROM eventstore.partitions p;
    -- Whoever may append may call this: it makes no more than an append can need.
    wanted := greatest(size + size / 2, least(needed, 100000));
    IF furthest - head < wanted AND needed > 0 THEN
        PERFORM pg_advisory_xact_lock(4715018260310003);
    END IF;
    -- Whoever has the lock is making them.
    IF furthest - head < wanted AND pg_try_advisory_xact_lock(4715018260310003) THEN
        SELECT max(p.last_number) INTO furthest FROM eventstore.partitions p;
        WHILE furthest - head < wanted LOOP
            PERFORM eventstore.add_partition(furthest + 1, size);
            furthest := furthest + size;
        END LOOP;
        PERFORM eventstore.define_head();
    END IF;
    RETURN QUERY SELECT furthest - size - size / 2 + 1, furthest, size;
END
$$;

-- Purpose: the first step of putting a log into partitions: bound the numbers of its table, which becomes the first one.
-- Parameters: size, how many numbers each further partition takes.
-- Result: the bound, the last number. New rows are checked at once, those that are there by the second step.
-- A bound that leaves too little room until the last step is put further away.
CREATE FUNCTION eventstore.bound_events(size bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = eventstore, pg_temp
AS $$
DECLARE
    head  CONSTANT bigint := coalesce((SELECT h.sequence_number FROM eventstore.head_v1() h), 0);
    bound          bigint;
BEGIN
    SELECT (regexp_match(pg_get_constraintdef(c.oid), '< ''?(\d+)'))[1]::bigint - 1 INTO bound
    FROM pg_constraint c
    WHERE c.conrelid = 'eventstore.events'::regclass AND c.conname = 'events_first_partition';
    IF bound - head >= size / 2 THEN
        RETURN bound;
    END IF;
    IF bound IS NOT NULL THEN
        ALTER TABLE eventstore.events DROP CONSTRAINT events_first_partition;
    END IF;
    bound := (head + 2 * size - 1) / size * size;
    EXECUTE format(
        'ALTER TABLE eventstore.events ADD CONSTRAINT events_first_partition'
        ' CHECK (sequence_number >= 1 AND sequence_number < %s) NOT VALID', bound + 1
    );
    RETURN bound;
END
$$;

-- Purpose: the last step of putting a log into partitions: its table becomes the first one of them. No row is moved or read.
-- Parameters: size, how many numbers each further partition takes.
CREATE FUNCTION eventstore.partition_events(size bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = eventstore, pg_temp
AS $$
DECLARE
    bound bigint;
    line  record;
BEGIN
    LOCK TABLE eventstore.events IN ACCESS EXCLUSIVE MODE;
    SELECT (regexp_match(pg_get_constraintdef(c.oid), '< ''?(\d+)'))[1]::bigint INTO STRICT bound
    FROM pg_constraint c
    WHERE c.conrelid = 'eventstore.events'::regclass AND c.conname = 'events_first_partition' AND c.convalidated;

    ALTER TABLE eventstore.events RENAME TO events_from_1;
    ALTER INDEX eventstore.events_pkey RENAME TO events_from_1_pkey;
    ALTER INDEX eventstore.events_payload RENAME TO events_from_1_payload_idx;
    ALTER INDEX eventstore.events_type RENAME TO events_from_1_event_type_sequence_number_idx;
    ALTER INDEX eventstore.events_occurred_at RENAME TO events_from_1_occurred_at_idx;
    CREATE TABLE eventstore.events (LIKE eventstore.events_from_1 INCLUDING ALL) PARTITION BY RANGE (sequence_number);
    ALTER TABLE eventstore.events DROP CONSTRAINT events_first_partition;
    ALTER INDEX eventstore.events_payload_idx RENAME TO events_payload;
    ALTER INDEX eventstore.events_event_type_sequence_number_idx RENAME TO events_type;
    ALTER INDEX eventstore.events_occurred_at_idx RENAME TO events_occurred_at;
    SELECT c.relowner::regrole::text AS owner INTO line FROM pg_class c WHERE c.oid = 'eventstore.events_from_1'::regclass;
    EXECUTE format('ALTER TABLE eventstore.events OWNER TO %s', line.owner);
    PERFORM eventstore.copy_rights('eventstore.events_from_1', 'eventstore.events');

    -- The table's own trigger for each row makes room for the one that comes with the attaching.
    DROP TRIGGER event_is_a_fact ON eventstore.events_from_1;
    CREATE TRIGGER events_are_facts
        BEFORE UPDATE OR DELETE OR TRUNCATE ON eventstore.events
        FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change();
    CREATE TRIGGER event_is_a_fact
        BEFORE UPDATE OR DELETE ON eventstore.events
        FOR EACH ROW EXECUTE FUNCTION eventstore.refuse_change();
    ALTER TABLE eventstore.events ENABLE ALWAYS TRIGGER events_are_facts;
    ALTER TABLE eventstore.events ENABLE ALWAYS TRIGGER event_is_a_fact;
    EXECUTE format(
        'ALTER TABLE eventstore.events ATTACH PARTITION eventstore.events_from_1 FOR VALUES FROM (1) TO (%s)', bound
    );
    ALTER TABLE eventstore.events_from_1 DROP CONSTRAINT events_first_partition;
    INSERT INTO eventstore.partitioning (size) VALUES (partition_events.size);
    PERFORM eventstore.define_head();
    PERFORM eventstore.extend_v1(0);
END
$$;

REVOKE ALL ON FUNCTION eventstore.define_head, eventstore.copy_rights, eventstore.add_partition, eventstore.extend_v1,
    eventstore.bound_events, eventstore.partition_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION eventstore.extend_v1 TO eventstore_runtime;

-- Whatever looks for the log's end under the lock, finds it by name from now on; and what it looks for near the end, it
-- looks for between two numbers that are known before the statement begins, so that no other partition is opened. An
-- import makes its own room. Verdicts, names and parameters stay.
DO $$
DECLARE
    function record;
BEGIN
    FOR function IN
        SELECT p.proname AS name, replace(replace(replace(replace(replace(
            pg_get_functiondef(p.oid),
            'FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1', 'FROM eventstore.head_v1() e'),
            'WHERE e.sequence_number = ANY (ARRAY(',
            'WHERE e.sequence_number > lowest AND e.sequence_number <= head AND e.sequence_number = ANY (ARRAY('),
            'WHERE e.sequence_number = v.conflict',
            'WHERE e.sequence_number = v.conflict AND e.sequence_number > lowest AND e.sequence_number <= head'),
            'WHERE u.sequence_number = ANY (v.unseen_by::bigint[])',
            'WHERE u.sequence_number = ANY (v.unseen_by::bigint[]) AND u.sequence_number > lowest AND u.sequence_number <= head'),
            E'\n    many   CONSTANT bigint := cardinality(event_types);',
            E'\n    room   CONSTANT bigint := (SELECT x.last_number FROM eventstore.extend_v1(cardinality(event_types)) x);'
            '\n    many   CONSTANT bigint := cardinality(event_types);'
        ) AS definition
        FROM pg_proc p
        WHERE p.pronamespace = 'eventstore'::regnamespace AND (
            p.proname ~ '^append_v\d+$' AND p.proname <> 'append_v1' OR p.proname IN ('hold_v1', 'import_v1')
        )
    LOOP
        IF function.definition ~ 'ORDER BY e.sequence_number DESC LIMIT 1'
            OR strpos(function.definition, 'FROM eventstore.head_v1() e') = 0
            OR function.name = 'import_v1' AND strpos(function.definition, 'extend_v1') = 0
        THEN
            RAISE EXCEPTION '% looks for the end of the log in a way that this migration does not know', function.name;
        END IF;
        EXECUTE function.definition;
    END LOOP;
END
$$;
