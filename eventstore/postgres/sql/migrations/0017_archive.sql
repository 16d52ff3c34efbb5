-- Purpose: move the oldest partitions out of the database, and keep of them what tells which reads can do without them.
-- Run by: the migration, as the owner of the schema, inside its transaction. It moves nothing.

-- What is known of each archived range of the log. Those that are out are a prefix of it, without a gap.
CREATE TABLE eventstore.archives (
    first_number bigint      PRIMARY KEY,
    last_number  bigint      NOT NULL UNIQUE,
    -- Of the last event: a position there is still told from one of another history.
    last_token   bigint      NOT NULL,
    events       bigint      NOT NULL,
    -- What the events add up to, as archive_sum_v1 does it.
    checksum     numeric     NOT NULL,
    event_types  text[]      COLLATE "C" NOT NULL,
    since        timestamptz NOT NULL,
    until        timestamptz NOT NULL,
    buckets      integer     NOT NULL,
    -- The table that it was described from.
    relation     oid         NOT NULL,
    -- Where it was moved to, as the person who did so named it.
    place        text,
    -- Null as long as the events are still in the log.
    archived_at  timestamptz,
    CHECK (first_number > 0 AND events = last_number - first_number + 1 AND buckets > 0)
);

-- The fields of an archived range with their values: of each a fingerprint of 32 bits, in the bucket that other bits of its
-- hash name. What is not there, no event of the range has. One that is there by chance, of a bucket of some 256, is one in
-- sixteen million; a Bloom filter that errs as seldom takes more bits.
CREATE TABLE eventstore.archive_fields (
    first_number bigint    NOT NULL,
    bucket       integer   NOT NULL,
    fingerprints integer[] NOT NULL,
    PRIMARY KEY (first_number, bucket)
);

GRANT SELECT ON eventstore.archives, eventstore.archive_fields TO eventstore_runtime;

-- Purpose: hash a field with its value, the same way for ever: summaries outlive servers. Equal numbers have one hash.
CREATE FUNCTION eventstore.field_hash_v1(key text, value jsonb) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ('x' || encode(substr(sha256(convert_to(length(key) || ':' || key || CASE jsonb_typeof(value)
        WHEN 'number' THEN 'n' || trim_scale(value::numeric)::text
        WHEN 'string' THEN 's' || (value #>> '{}')
        ELSE 'b' || value::text
    END, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
$$;

-- Purpose: say in which bucket of so many a hash lies, and what its fingerprint is there.
CREATE FUNCTION eventstore.bucket_v1(hash bigint, buckets integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT (((hash >> 32) & 2147483647) % buckets)::integer';

CREATE FUNCTION eventstore.fingerprint_v1(hash bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT ((hash & 4294967295) - 2147483648)::integer';

-- Purpose: tell which archived events a read may need.
-- Parameters: types, contained, above, since, until   per branch, as in query.sql; null if there is none
--   up_to       the highest number that is looked at; null for all
--   milestones  numbers of events whose tokens are asked for; null for none
-- Result: a row of branch -4 for each archived range and branch that may match in it: the range's first and last number,
-- and the branch's number as event_type. Of milestones: a row of branch -1 for the last event of a range, with its token;
-- and of branch -5 for any other: its number, the range's last number as token, and its first as event_type.
-- It is asked in the snapshot of the read.
CREATE FUNCTION eventstore.archive_hits_v1(
    types jsonb[], contained jsonb[], above bigint[], since timestamptz[], until timestamptz[], up_to bigint,
    milestones bigint[]
) RETURNS TABLE (branch integer, sequence_number bigint, token bigint, event_type text)
    LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
    IF cardinality(archive_hits_v1.milestones) > 0 THEN
        RETURN QUERY
        SELECT CASE m.number WHEN a.last_number THEN -1 ELSE -5 END, m.number,
            CASE m.number WHEN a.last_number THEN a.last_token ELSE a.last_number END,
            CASE m.number WHEN a.last_number THEN NULL ELSE a.first_number::text END
        FROM unnest(archive_hits_v1.milestones) AS m (number)
        JOIN eventstore.archives a ON m.number BETWEEN a.first_number AND a.last_number
        WHERE a.archived_at IS NOT NULL;
    END IF;
    IF cardinality(archive_hits_v1.above) > 0 THEN
        RETURN QUERY
        WITH asked AS MATERIALIZED (
            -- Hashed once, however many ranges there are.
            SELECT b.*, ARRAY(
                SELECT eventstore.field_hash_v1(f.key, f.value) FROM jsonb_each(b.contained) AS f
            ) AS hashes
            FROM unnest(
                archive_hits_v1.types, archive_hits_v1.contained, archive_hits_v1.above, archive_hits_v1.since,
                archive_hits_v1.until
            ) WITH ORDINALITY AS b (types, contained, above, since, until, place)
        )
        SELECT -4, a.first_number, a.last_number, b.place::text
        FROM asked b
        JOIN eventstore.archives a ON a.last_number > b.above
        WHERE a.archived_at IS NOT NULL
            AND (archive_hits_v1.up_to IS NULL OR archive_hits_v1.up_to >= a.first_number)
            AND (b.since IS NULL OR b.since <= a.until)
            AND (b.until IS NULL OR b.until >= a.since)
            AND (b.types IS NULL OR b.types ?| a.event_types)
            AND NOT EXISTS (
                SELECT
                FROM unnest(b.hashes) AS h (hash)
                WHERE NOT coalesce((
                    SELECT eventstore.fingerprint_v1(h.hash) = ANY (s.fingerprints)
                    FROM eventstore.archive_fields s
                    WHERE s.first_number = a.first_number AND s.bucket = eventstore.bucket_v1(h.hash, a.buckets)
                ), false)
            );
    END IF;
END
$$;

-- Purpose: tell whether a position that is not in the log lies among archived events. Whether it is of this history can be
-- told of the last one of a range.
CREATE FUNCTION eventstore.may_be_archived_v1(number bigint, token bigint) RETURNS boolean
    LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (
        SELECT FROM eventstore.archives a
        WHERE a.archived_at IS NOT NULL AND $1 BETWEEN a.first_number AND a.last_number
            AND ($1 < a.last_number OR $2 = a.last_token)
    )
$$;

-- Purpose: have every read tell what it may need of archived events, and cost nothing where none is archived: whoever asks
-- has its one query written into their plan, and define_archived changes what that is.
CREATE FUNCTION eventstore.archived_v1(
    types jsonb[], contained jsonb[], above bigint[], since timestamptz[], until timestamptz[], up_to bigint,
    milestones bigint[]
) RETURNS TABLE (branch integer, sequence_number bigint, token bigint, event_type text)
    LANGUAGE sql STABLE
AS 'SELECT NULL::integer, NULL::bigint, NULL::bigint, NULL::text WHERE false';

-- Purpose: look up the end of the log, as head_v1 does for builds that do not know of archived events.
CREATE FUNCTION eventstore.head_v2() RETURNS TABLE (sequence_number bigint, token bigint)
    LANGUAGE sql STABLE
AS 'SELECT e.sequence_number, e.token FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1';

-- Purpose: have head_v2 name the partition in which the log ends now, and those after it, as 0012_partitions.sql says; and
-- head_v1 as well, as long as nothing is archived: then it refuses to answer.
CREATE OR REPLACE FUNCTION eventstore.define_head() RETURNS void
    LANGUAGE plpgsql
    SET search_path = eventstore, pg_temp
AS $$
DECLARE
    head     bigint;
    name     text;
    body     text := 'SELECT e.sequence_number, e.token FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1';
    -- 55000, not in the state that it needs: a worker that gets it pauses, and loses nothing.
    refusal  CONSTANT text := $body$BEGIN
    RAISE EXCEPTION 'events of this log are archived, which this build does not know of: start a newer one'
        USING ERRCODE = '55000';
END$body$;
    language text;
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
    FOREACH name IN ARRAY ARRAY['head_v1', 'head_v2'] LOOP
        language := 'sql';
        IF name = 'head_v1' AND EXISTS (SELECT FROM eventstore.archives a WHERE a.archived_at IS NOT NULL) THEN
            language := 'plpgsql';
        END IF;
        -- Every plan that has it is made anew once it changes.
        IF (SELECT p.prosrc FROM pg_proc p WHERE p.oid = format('eventstore.%s()', name)::regprocedure)
            <> (CASE language WHEN 'sql' THEN body ELSE refusal END)
        THEN
            EXECUTE format(
                'CREATE OR REPLACE FUNCTION eventstore.%I() RETURNS TABLE (sequence_number bigint, token bigint)'
                ' LANGUAGE %s STABLE AS %L', name, language, CASE language WHEN 'sql' THEN body ELSE refusal END
            );
        END IF;
    END LOOP;
END
$$;

-- Purpose: have archived_v1, head_v1 and head_v2 be what the archives ask for.
CREATE FUNCTION eventstore.define_archived() RETURNS void
    LANGUAGE plpgsql
    SET search_path = eventstore, pg_temp
AS $$
DECLARE
    body CONSTANT text := CASE
        WHEN EXISTS (SELECT FROM eventstore.archives a WHERE a.archived_at IS NOT NULL)
            THEN 'SELECT h.branch, h.sequence_number, h.token, h.event_type'
                ' FROM eventstore.archive_hits_v1($1, $2, $3, $4, $5, $6, $7) h'
        ELSE 'SELECT NULL::integer, NULL::bigint, NULL::bigint, NULL::text WHERE false'
    END;
BEGIN
    IF body <> (SELECT p.prosrc FROM pg_proc p
        WHERE p.pronamespace = 'eventstore'::regnamespace AND p.proname = 'archived_v1')
    THEN
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION eventstore.archived_v1('
            'types jsonb[], contained jsonb[], above bigint[], since timestamptz[], until timestamptz[], up_to bigint,'
            ' milestones bigint[]'
            ') RETURNS TABLE (branch integer, sequence_number bigint, token bigint, event_type text)'
            ' LANGUAGE sql STABLE AS %L', body
        );
    END IF;
    PERFORM eventstore.define_head();
END
$$;

-- Purpose: add up the events of a table between two numbers.
-- Result: one row: how many there are, and what they add up to. Whoever has their texts can do the same.
CREATE FUNCTION eventstore.archive_sum_v1(relation regclass, first_number bigint, last_number bigint)
    RETURNS TABLE (events bigint, checksum numeric)
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        $body$
        SELECT count(*), coalesce(sum(('x' || encode(substr(sha256(convert_to(
            e.sequence_number || ' ' || e.token || ' ' || (extract(epoch FROM e.occurred_at) * 1000000)::bigint
                || ' ' || length(e.event_type) || ' ' || length(e.payload::text) || ' '
                || e.event_type || e.payload::text || e.metadata::text,
            'UTF8'
        )), 1, 8), 'hex'))::bit(64)::bigint), 0)
        FROM %s e
        WHERE e.sequence_number BETWEEN $1 AND $2
        $body$, relation
    ) USING first_number, last_number;
END
$$;

-- Purpose: note what there is to know of the oldest partition, while it is still in the log.
-- Parameters: first_number, its first number. Nobody can change its events: it is full, and guarded.
-- Result: one row, as it is in archives. Called again, it is noted anew.
-- Errors: ES007 it is not the oldest partition, or too near to the log's end.
CREATE FUNCTION eventstore.describe_archive_v1(first_number bigint) RETURNS SETOF eventstore.archives
    LANGUAGE plpgsql VOLATILE
    SET search_path = eventstore, pg_temp
    SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    part    record;
    found   record;
    total   record;
    buckets integer;
BEGIN
    SELECT p.* INTO part FROM eventstore.partitions p ORDER BY p.first_number LIMIT 1;
    IF part.first_number IS DISTINCT FROM describe_archive_v1.first_number THEN
        RAISE EXCEPTION 'the oldest partition begins at %', part.first_number USING ERRCODE = 'ES007';
    END IF;
    PERFORM eventstore.check_archivable(part.last_number);
    SELECT array_agg(DISTINCT e.event_type ORDER BY e.event_type) AS types, min(e.occurred_at) AS since,
        max(e.occurred_at) AS until
        INTO found
    FROM eventstore.events e
    WHERE e.sequence_number BETWEEN part.first_number AND part.last_number;
    SELECT s.* INTO total FROM eventstore.archive_sum_v1(part.oid, part.first_number, part.last_number) s;

    DELETE FROM eventstore.archives a WHERE a.archived_at IS NULL;
    DELETE FROM eventstore.archive_fields s
    WHERE NOT EXISTS (SELECT FROM eventstore.archives a WHERE a.first_number = s.first_number);
    WITH hashed AS MATERIALIZED (
        SELECT DISTINCT eventstore.field_hash_v1(f.key, f.value) AS hash
        FROM eventstore.events e
        CROSS JOIN LATERAL jsonb_each(e.payload) AS f
        WHERE e.sequence_number BETWEEN part.first_number AND part.last_number
            AND jsonb_typeof(f.value) IN ('string', 'number', 'boolean')
    ), counted AS MATERIALIZED (
        SELECT greatest(1, count(*) / 256)::integer AS buckets FROM hashed
    ), stored AS (
        INSERT INTO eventstore.archive_fields AS s (first_number, bucket, fingerprints)
        SELECT part.first_number, b.bucket, array_agg(DISTINCT b.fingerprint)
        FROM (
            SELECT eventstore.bucket_v1(h.hash, c.buckets) AS bucket, eventstore.fingerprint_v1(h.hash) AS fingerprint
            FROM hashed h
            CROSS JOIN counted c
        ) b
        GROUP BY b.bucket
    )
    SELECT c.buckets INTO buckets FROM counted c;
    RETURN QUERY
    INSERT INTO eventstore.archives AS a (
        first_number, last_number, last_token, events, checksum, event_types, since, until, buckets, relation
    )
    SELECT part.first_number, part.last_number, e.token, total.events, total.checksum, found.types, found.since,
        found.until, buckets, part.oid
    FROM eventstore.events e
    WHERE e.sequence_number = part.last_number
    RETURNING a.*;
END
$$;

-- Purpose: make sure that appends never look for anything below a number: what lies near the log's end stays.
-- Errors: ES007 it is too near.
CREATE FUNCTION eventstore.check_archivable(last_number bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = eventstore, pg_temp
AS $$
DECLARE
    head CONSTANT bigint := coalesce((SELECT h.sequence_number FROM eventstore.head_v2() h), 0);
BEGIN
    -- Twice what a position may be behind and still be judged under the lock.
    IF head - last_number < 8192 THEN
        RAISE EXCEPTION 'the partition up to % is too near to the end of the log, %', last_number, head
            USING ERRCODE = 'ES007';
    END IF;
END
$$;

-- Purpose: drop the oldest partition, whose events were found elsewhere, all of them.
-- Parameters: first_number, its first number; events, checksum, what was found there; place, where.
-- Result: none. From this moment each read sees either the events, or that they are archived: it has locked the table before
-- its snapshot, and this has the table alone.
-- Errors: ES001 wrong isolation level, ES007 it is not as it was described, 55P03 somebody has the table for too long.
CREATE FUNCTION eventstore.move_out_v1(first_number bigint, events bigint, checksum numeric, place text) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = eventstore, pg_temp
    SET lock_timeout = '2s'
AS $$
#variable_conflict use_column
DECLARE
    part record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'archiving needs READ COMMITTED' USING ERRCODE = 'ES001';
    END IF;
    LOCK TABLE ONLY eventstore.events IN ACCESS EXCLUSIVE MODE;
    -- Each a statement of its own: the one that waited for the lock saw everything as it was before.
    SELECT p.* INTO part FROM eventstore.partitions p ORDER BY p.first_number LIMIT 1;
    UPDATE eventstore.archives a SET archived_at = clock_timestamp(), place = move_out_v1.place
    WHERE a.first_number = move_out_v1.first_number AND a.archived_at IS NULL
        AND a.events = move_out_v1.events AND a.checksum = move_out_v1.checksum
        AND a.first_number = part.first_number AND a.last_number = part.last_number AND a.relation = part.oid;
    IF NOT FOUND OR part.first_number <> 1 + coalesce(
        (
            SELECT max(a.last_number) FROM eventstore.archives a
            WHERE a.archived_at IS NOT NULL AND a.first_number < move_out_v1.first_number
        ), 0
    ) THEN
        RAISE EXCEPTION 'the partition from % on is not as it was described', move_out_v1.first_number
            USING ERRCODE = 'ES007';
    END IF;
    PERFORM eventstore.check_archivable(part.last_number);
    EXECUTE format('DROP TABLE eventstore.%I', part.name);
    PERFORM eventstore.define_archived();
END
$$;

-- Purpose: make a table for the events of the range that was archived last, beside the log.
-- Result: its name. It is as add_partition makes it.
-- Errors: ES007 another range was archived later.
CREATE FUNCTION eventstore.begin_restore_v1(first_number bigint) RETURNS text
    LANGUAGE plpgsql VOLATILE
    SET search_path = eventstore, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    name CONSTANT text := format('events_from_%s', begin_restore_v1.first_number);
    settings      text;
    latest        record;
BEGIN
    SELECT a.* INTO latest FROM eventstore.archives a
    WHERE a.archived_at IS NOT NULL
    ORDER BY a.first_number DESC LIMIT 1;
    IF latest.first_number IS DISTINCT FROM begin_restore_v1.first_number THEN
        RAISE EXCEPTION 'the range that was archived last begins at %', latest.first_number USING ERRCODE = 'ES007';
    END IF;
    EXECUTE format('CREATE TABLE eventstore.%I (LIKE eventstore.events INCLUDING ALL)', name);
    SELECT string_agg(format('%s = %L', split_part(o.option, '=', 1), substr(o.option, strpos(o.option, '=') + 1)), ', ')
        INTO settings
    FROM pg_class c
    CROSS JOIN LATERAL unnest(c.reloptions) AS o (option)
    WHERE c.oid = (SELECT p.oid FROM eventstore.partitions p ORDER BY p.first_number LIMIT 1);
    IF settings IS NOT NULL THEN
        EXECUTE format('ALTER TABLE eventstore.%I SET (%s)', name, settings);
    END IF;
    PERFORM eventstore.copy_rights('eventstore.events', format('eventstore.%I', name)::regclass);
    -- Known to hold for each row, it need not be looked at when the table is attached.
    EXECUTE format(
        'ALTER TABLE eventstore.%I ADD CONSTRAINT restored CHECK (sequence_number >= %s AND sequence_number < %s)',
        name, latest.first_number, latest.last_number + 1
    );
    RETURN name;
END
$$;

-- Purpose: put events into the table of begin_restore_v1.
-- Parameters: per event, as restore_rows.sql says.
CREATE FUNCTION eventstore.restore_rows_v1(
    first_number bigint, numbers bigint[], tokens bigint[], event_types text[], occurred bigint[], payloads jsonb[],
    metadatas jsonb[]
) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = eventstore, pg_temp
AS $$
BEGIN
    -- Whole seconds and what is left of them: either is exact as a double, in which intervals are multiplied.
    EXECUTE format(
        $body$
        INSERT INTO eventstore.%I (sequence_number, token, event_type, occurred_at, payload, metadata)
        SELECT b.number, b.token, b.event_type,
            timestamptz 'epoch' + (b.occurred / 1000000) * interval '1 second'
                + (b.occurred %% 1000000) * interval '1 microsecond',
            b.payload, b.metadata
        FROM unnest($1, $2, $3, $4, $5, $6) AS b (number, token, event_type, occurred, payload, metadata)
        $body$, format('events_from_%s', restore_rows_v1.first_number)
    ) USING numbers, tokens, event_types, occurred, payloads, metadatas;
END
$$;

-- Purpose: take the table of begin_restore_v1 into the log, if it has all that was archived.
-- Errors: ES001 wrong isolation level, ES007 it has not, 55P03 somebody has the table of events for too long.
CREATE FUNCTION eventstore.finish_restore_v1(first_number bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = eventstore, pg_temp
    SET lock_timeout = '2s'
AS $$
#variable_conflict use_column
DECLARE
    name  CONSTANT text := format('events_from_%s', finish_restore_v1.first_number);
    known record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'restoring needs READ COMMITTED' USING ERRCODE = 'ES001';
    END IF;
    -- Whoever reads has either planned with the table, or sees that it is archived.
    LOCK TABLE ONLY eventstore.events IN ACCESS EXCLUSIVE MODE;
    SELECT a.* INTO known FROM eventstore.archives a
    WHERE a.archived_at IS NOT NULL
    ORDER BY a.first_number DESC LIMIT 1;
    IF known.first_number IS DISTINCT FROM finish_restore_v1.first_number THEN
        RAISE EXCEPTION 'the range that was archived last begins at %', known.first_number USING ERRCODE = 'ES007';
    END IF;
    EXECUTE format(
        'CREATE TRIGGER events_are_facts BEFORE UPDATE OR DELETE OR TRUNCATE ON eventstore.%I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change()', name
    );
    EXECUTE format('ALTER TABLE eventstore.%I ENABLE ALWAYS TRIGGER events_are_facts', name);
    EXECUTE format(
        'ALTER TABLE eventstore.events ATTACH PARTITION eventstore.%I FOR VALUES FROM (%s) TO (%s)',
        name, known.first_number, known.last_number + 1
    );
    EXECUTE format('ALTER TABLE eventstore.%I DROP CONSTRAINT restored', name);
    DELETE FROM eventstore.archive_fields s WHERE s.first_number = known.first_number;
    DELETE FROM eventstore.archives a WHERE a.first_number = known.first_number;
    PERFORM eventstore.define_archived();
END
$$;

REVOKE ALL ON FUNCTION eventstore.field_hash_v1, eventstore.bucket_v1, eventstore.fingerprint_v1,
    eventstore.archive_hits_v1, eventstore.may_be_archived_v1, eventstore.archived_v1, eventstore.head_v2,
    eventstore.define_archived,
    eventstore.archive_sum_v1, eventstore.describe_archive_v1, eventstore.check_archivable, eventstore.move_out_v1,
    eventstore.begin_restore_v1, eventstore.restore_rows_v1, eventstore.finish_restore_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION eventstore.field_hash_v1, eventstore.bucket_v1, eventstore.fingerprint_v1,
    eventstore.archive_hits_v1, eventstore.archived_v1, eventstore.head_v2 TO eventstore_runtime;

-- Whatever looks for the log's end goes by head_v2. Of a position that is archived an append cannot tell whether it lies in
-- this history, nor need it: it is behind, and whoever comes back has read above it. Verdicts, names and parameters stay.
DO $$
DECLARE
    function record;
    judging  text;
BEGIN
    FOR function IN
        SELECT p.proname AS name, replace(
            pg_get_functiondef(p.oid), 'eventstore.head_v1()', 'eventstore.head_v2()'
        ) AS definition
        FROM pg_proc p
        WHERE p.pronamespace = 'eventstore'::regnamespace AND p.prokind = 'f'
            AND strpos(p.prosrc, 'eventstore.head_v1()') > 0
    LOOP
        IF function.name = 'append_v3' THEN
            judging := replace(replace(replace(function.definition,
                'SELECT t.part FROM lost l JOIN told t', 'SELECT t.part, l.number, l.token FROM lost l JOIN told t'),
                'faults[line.part] := lost;',
                'faults[line.part] := least(faults[line.part],'
                ' CASE WHEN eventstore.may_be_archived_v1(line.number, line.token) THEN far ELSE lost END);'),
                'faults[1] := lost;',
                'faults[1] := CASE WHEN eventstore.may_be_archived_v1(lowest, tokens[1]) THEN far ELSE lost END;');
            IF strpos(judging, 'l.number, l.token') = 0 OR strpos(judging, '(line.number, line.token) THEN far') = 0
                OR strpos(judging, '(lowest, tokens[1]) THEN far') = 0
            THEN
                RAISE EXCEPTION 'append_v3 judges positions in a way that this migration does not know';
            END IF;
            function.definition := judging;
        END IF;
        EXECUTE function.definition;
    END LOOP;
END
$$;

SELECT eventstore.define_head();
