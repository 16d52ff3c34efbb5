-- Purpose: have append_v3 begin less for a lone append that nothing can be against, number the events of a batch that is
-- recorded as a whole without sorting them, and say with a conflict what was not read.
-- Run by: the migration, as the owner of the schema, inside its transaction.

-- Parameters, result and errors are those of 0007_append_v3.sql, the verdicts too, and so the name stays. Of a lone append
-- the server's time was 2.2 times that of a bare one-row commit, two thirds of it for what judges others.
-- A conflict's row says more, unless the batch is a chain, the member reads several parts, or more than 64 events of its part
-- were not seen: position is the head's, as the batch found it, and detail has "unseen", these events up to there: [number,
-- token, type, time, payload, metadata] each. Builds from before read neither.
CREATE OR REPLACE FUNCTION eventstore.append_v3(
    keys uuid[], scopes text[], digests bytea[], receipts jsonb[], members integer[],
    numbers bigint[], tokens bigint[], ranges bigint[],
    conditions integer[], predicates text[], terms text,
    event_types text[], occurred timestamptz[], payloads jsonb[], metadatas jsonb[],
    chained boolean, tail_limit integer
) RETURNS TABLE (
    verdict text, part integer,
    first_number bigint, last_number bigint, "position" bigint, position_token bigint, recorded_at timestamptz,
    detail jsonb
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = eventstore, pg_temp
    -- Every statement below is written so that one plan fits any size; planning anew would cost more than running.
    SET plan_cache_mode = force_generic_plan
    -- A plan made while the tables were empty must not scan them when they are full.
    SET enable_seqscan = off
    -- Each join is written in the order of its cost. The planner cannot know the sizes, and a wrong guess is quadratic.
    SET join_collapse_limit = 1
    SET from_collapse_limit = 1
    SET jit = off
AS $$
DECLARE
    many       CONSTANT integer := cardinality(keys);
    parts      CONSTANT integer := cardinality(numbers);
    moment     CONSTANT timestamptz := clock_timestamp();
    batch      CONSTANT bigint := hashtextextended(gen_random_uuid()::text, 0) & 4611686018427387903;
    keyed      CONSTANT boolean := num_nonnulls(VARIADIC keys) > 0;
    head       bigint;
    head_token bigint;
    running    bigint;
    passes     boolean;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'an append needs READ COMMITTED: under % it would judge by an old snapshot',
            current_setting('transaction_isolation') USING ERRCODE = 'ES001';
    END IF;
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        RAISE EXCEPTION 'an append needs synchronous_commit = on: under % a crash could lose what was promised',
            current_setting('synchronous_commit') USING ERRCODE = 'ES002';
    END IF;

    -- The turn. The head is looked up by a statement of its own, with a snapshot of its own, and so is every other event:
    -- the one that waited for the lock saw the log as it was before.
    PERFORM FROM eventstore.store s WHERE s.singleton FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the event store has lost its lock row' USING ERRCODE = 'ES004';
    END IF;
    SELECT e.sequence_number, e.token INTO head, head_token
    FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1;
    IF NOT FOUND THEN
        head := 0;
        head_token := 0;
    END IF;

    -- A lone append whose parts were all read up to the head, and whose key, if it has one, has no receipt in any scope:
    -- nothing can be against it, so that none of what judges the others is begun.
    passes := many = 1 AND cardinality(ranges) = 0
        AND numbers = array_fill(head, ARRAY[parts]) AND tokens = array_fill(head_token, ARRAY[parts]);
    IF passes AND keyed THEN
        PERFORM FROM eventstore.receipts r WHERE r.key = keys[1];
        passes := NOT FOUND;
    END IF;
    IF passes THEN
        verdict := 'appended';
        running := head + cardinality(event_types);
        "position" := running;
        position_token := head_token;
        recorded_at := moment;
        IF running > head THEN
            first_number := head + 1;
            last_number := running;
            position_token := batch;
            IF running = first_number THEN
                INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
                VALUES (running, batch, event_types[1], occurred[1], payloads[1], metadatas[1]);
            ELSE
                INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
                SELECT head + b.place, batch, b.event_type, b.occurred_at, b.payload, b.metadata
                FROM unnest(event_types, occurred, payloads, metadatas)
                    WITH ORDINALITY AS b (event_type, occurred_at, payload, metadata, place);
            END IF;
        END IF;
        IF keyed THEN
            INSERT INTO eventstore.receipts (
                key, scope, digest, outcome, reason, details, first_number, last_number, position, position_token,
                recorded_at
            )
            VALUES (
                keys[1], scopes[1], digests[1], receipts[1] ->> 'outcome', receipts[1] ->> 'reason',
                receipts[1] -> 'details', first_number, last_number, running, position_token, moment
            );
        END IF;
        RETURN NEXT;
        RETURN;
    END IF;

    DECLARE
        -- Of a part's fault, the least counts: the first conflicting event's number, or one of these two.
        lost       CONSTANT bigint := -2;
        far        CONSTANT bigint := -1;
        most_told  CONSTANT integer := 64;
        verdicts   text[] := array_fill(NULL::text, ARRAY[many]);
        culprits   integer[] := array_fill(NULL::integer, ARRAY[many]);
        conflicts  bigint[] := array_fill(NULL::bigint, ARRAY[many]);
        firsts     bigint[] := array_fill(NULL::bigint, ARRAY[many]);
        lasts      bigint[] := array_fill(NULL::bigint, ARRAY[many]);
        positions  bigint[] := array_fill(NULL::bigint, ARRAY[many]);
        places     bigint[] := array_fill(NULL::bigint, ARRAY[many]);
        times      timestamptz[] := array_fill(NULL::timestamptz, ARRAY[many]);
        details    jsonb[] := array_fill(NULL::jsonb, ARRAY[many]);
        faults     bigint[] := array_fill(NULL::bigint, ARRAY[parts]);
        -- Per part, and per member, the numbers of the events that it has not seen, as text.
        tails      text[] := array_fill(NULL::text, ARRAY[parts]);
        unseen_by  text[] := array_fill(NULL::text, ARRAY[many]);
        stirred    boolean[] := array_fill(false, ARRAY[parts]);
        recorded   boolean[];
        lowest     bigint;
        aside      boolean;
        strayed    boolean := false;
        unseen     int8multirange;
        -- Whether the batch asks for one part alone, without ranges: what is looked up for it needs no sets.
        single     CONSTANT boolean := parts = 1 AND cardinality(ranges) = 0;
        met_token  bigint;
        found      bigint[];
        -- The values that an event must hold one of, if they are few; null if they are many, or an event of some type
        -- matches whatever it holds.
        sought     jsonb[];
        line       record;
        told       integer := 1;
        reads      integer;
        meets      integer;
        events     integer;
        event      integer := 0;
        judged     text;
        fault      bigint;
        worst      bigint;
        met        boolean;
        moved      boolean := false;
        repeated   boolean := false;
    BEGIN
        -- 1. Duplicates, by a stored receipt. One without a scope is from before there were any, or of an older build: it is
        -- this request's if it names the scope as its domain; where it names none, its digest tells.
        IF keyed THEN
            FOR line IN
                SELECT k.member::integer AS member, r.digest = k.digest AS same, r.first_number, r.last_number,
                    r.position, r.position_token, r.recorded_at,
                    jsonb_build_object(
                        'scope', r.scope, 'outcome', r.outcome, 'reason', r.reason, 'details', r.details
                    ) AS detail
                FROM unnest(keys, scopes, digests) WITH ORDINALITY AS k (key, scope, digest, member)
                JOIN eventstore.receipts r ON r.key = k.key AND (
                    r.scope = k.scope
                    OR r.scope = '' AND coalesce(r.details ->> 'domain' = k.scope, r.digest = k.digest)
                )
            LOOP
                IF NOT line.same THEN
                    verdicts[line.member] := 'reused';
                    CONTINUE;
                END IF;
                repeated := true;
                verdicts[line.member] := 'duplicate';
                firsts[line.member] := line.first_number;
                lasts[line.member] := line.last_number;
                positions[line.member] := line.position;
                places[line.member] := line.position_token;
                times[line.member] := line.recorded_at;
                details[line.member] := line.detail;
            END LOOP;
        END IF;

        -- 2. Diverged, and 3. behind. Only what is not the head needs a look, once each.
        IF single THEN
            lowest := numbers[1];
            met_token := CASE numbers[1] WHEN head THEN head_token WHEN 0 THEN 0 END;
            IF met_token IS NULL THEN
                SELECT e.token INTO met_token FROM eventstore.events e WHERE e.sequence_number = lowest;
            END IF;
            IF tokens[1] IS DISTINCT FROM met_token THEN
                faults[1] := lost;
                strayed := true;
            END IF;
        ELSIF parts > 0 THEN
            SELECT min(p.number), bool_or(p.number <> head OR p.token <> head_token) INTO lowest, aside
            FROM unnest(numbers, tokens) AS p (number, token);
        END IF;
        IF aside OR cardinality(ranges) > 0 THEN
            FOR line IN
                WITH told AS MATERIALIZED (
                    SELECT p.part::integer AS part, p.number, p.token
                    FROM unnest(numbers, tokens) WITH ORDINALITY AS p (number, token, part)
                    UNION ALL
                    SELECT ranges[4 * r.place - 3], ranges[4 * r.place - 1], ranges[4 * r.place]
                    FROM generate_series(1, cardinality(ranges) / 4) AS r (place)
                ), lost AS MATERIALIZED (
                    SELECT d.number, d.token
                    FROM (SELECT DISTINCT t.number, t.token FROM told t) d
                    WHERE d.token IS DISTINCT FROM CASE WHEN d.number = 0 THEN 0
                        ELSE (SELECT e.token FROM eventstore.events e WHERE e.sequence_number = d.number) END
                )
                SELECT t.part FROM lost l JOIN told t ON t.number = l.number AND t.token = l.token
            LOOP
                faults[line.part] := lost;
                strayed := true;
            END LOOP;
        END IF;
        IF head - lowest > tail_limit THEN
            FOR line IN
                SELECT p.part::integer AS part FROM unnest(numbers) WITH ORDINALITY AS p (number, part)
                WHERE head - p.number > tail_limit
            LOOP
                faults[line.part] := least(faults[line.part], far);
                strayed := true;
            END LOOP;
        END IF;
        IF strayed THEN
            SELECT min(p.number) INTO lowest FROM unnest(numbers, faults) AS p (number, fault) WHERE p.fault IS NULL;
        END IF;

        -- 4. Conflicts: events of others above the parts' positions, besides what each part has seen of them.
        IF lowest < head THEN
            IF cardinality(ranges) = 0 THEN
                unseen := int8multirange(int8range(lowest, head, '(]'));
            ELSE
                SELECT range_agg(u.span) INTO unseen
                FROM (
                    SELECT unnest(int8multirange(int8range(p.number, head, '(]')) - coalesce(o.own, '{}')) AS span
                    FROM unnest(numbers, faults) WITH ORDINALITY AS p (number, fault, part)
                    LEFT JOIN (
                        SELECT ranges[4 * r.place - 3] AS part,
                            range_agg(int8range(ranges[4 * r.place - 2], ranges[4 * r.place - 1], '[]')) AS own
                        FROM generate_series(1, cardinality(ranges) / 4) AS r (place)
                        WHERE ranges[4 * r.place - 1] <= head
                        GROUP BY 1
                    ) o ON o.part = p.part
                    WHERE p.fault IS NULL AND p.number < head
                ) u;
            END IF;
        END IF;
        IF NOT isempty(unseen) THEN
            IF cardinality(predicates) <= 12 AND array_position(predicates, NULL) IS NULL THEN
                sought := predicates::jsonb[];
            END IF;
            -- Set-based: the fields of every such event are expanded once, and joined with the predicates by equality.
            IF single AND sought IS NOT NULL AND conditions[cardinality(conditions) - 3] = 1 AND conditions[4] = 1
                AND terms::jsonb -> 'bounds' = '[]'
            THEN
                -- One item of a few values, one of which suffices, and no bounds: each event of the tail is asked itself.
                SELECT min(e.sequence_number), array_agg(e.sequence_number) INTO fault, found
                FROM eventstore.events e
                WHERE e.sequence_number = ANY (ARRAY(SELECT generate_series(lowest + 1, head)))
                    AND e.payload @> ANY (sought)
                    AND (conditions[3] = 0 OR terms::jsonb -> 'types' -> conditions[3] - 1 ? e.event_type);
                IF fault IS NOT NULL THEN
                    faults[1] := fault;
                    strayed := true;
                    IF NOT chained AND cardinality(found) <= most_told THEN
                        tails[1] := found::text;
                    END IF;
                END IF;
            ELSE
                FOR line IN
                    WITH event AS MATERIALIZED (
                        SELECT e.sequence_number AS number, e.event_type, e.occurred_at, e.payload
                        FROM eventstore.events e
                        WHERE e.sequence_number = ANY (ARRAY(
                            SELECT generate_series(lower(s.span), upper(s.span) - 1) FROM unnest(unseen) AS s (span)
                        )) AND (sought IS NULL OR e.payload @> ANY (sought))
                    ), type_set AS MATERIALIZED (
                        SELECT t.place::integer AS place, t.types
                        FROM jsonb_array_elements(terms::jsonb -> 'types') WITH ORDINALITY AS t (types, place)
                    ), bound AS MATERIALIZED (
                        SELECT (b.told ->> 0)::integer AS part, (b.told ->> 1)::timestamptz AS since,
                            (b.told ->> 2)::timestamptz AS until, (b.told ->> 3)::bigint AS above
                        FROM jsonb_array_elements(terms::jsonb -> 'bounds') AS b (told)
                    ), own AS MATERIALIZED (
                        SELECT ranges[4 * r.place - 3] AS part,
                            range_agg(int8range(ranges[4 * r.place - 2], ranges[4 * r.place - 1], '[]')) AS seen
                        FROM generate_series(1, cardinality(ranges) / 4) AS r (place)
                        WHERE ranges[4 * r.place - 1] <= head
                        GROUP BY 1
                    ), condition AS MATERIALIZED (
                        SELECT conditions[4 * c.place - 3] AS item, conditions[4 * c.place - 2] AS part,
                            conditions[4 * c.place - 1] AS type_set, conditions[4 * c.place] AS needed, c.predicate
                        FROM unnest(predicates) WITH ORDINALITY AS c (predicate, place)
                        WHERE faults[conditions[4 * c.place - 2]] IS NULL
                    ), matching AS (
                        SELECT p.part, p.type_set, f.number
                        FROM (
                            SELECT c.item, c.part, c.type_set, c.needed, field.key, field.value
                            FROM condition c, jsonb_each(c.predicate::jsonb) AS field
                        ) p
                        JOIN (
                            SELECT e.number, field.key, field.value FROM event e, jsonb_each(e.payload) AS field
                        ) f ON f.key = p.key AND f.value = p.value
                        GROUP BY p.item, p.part, p.type_set, p.needed, f.number
                        HAVING count(*) >= p.needed
                        UNION ALL
                        SELECT c.part, 0, e.number
                        FROM condition c
                        JOIN type_set t ON t.place = c.type_set
                        CROSS JOIN LATERAL jsonb_array_elements_text(t.types) AS n (event_type)
                        JOIN event e ON e.event_type = n.event_type
                        WHERE c.predicate IS NULL
                        UNION ALL
                        SELECT c.part, 0, e.number FROM condition c, event e WHERE c.predicate IS NULL AND c.type_set = 0
                    )
                    SELECT m.part, min(m.number) AS conflict,
                        array_agg(DISTINCT m.number) FILTER (WHERE NOT chained) AS numbers
                    FROM matching m
                    JOIN event e ON e.number = m.number
                    LEFT JOIN type_set t ON t.place = m.type_set
                    LEFT JOIN bound b ON b.part = m.part
                    LEFT JOIN own o ON o.part = m.part
                    WHERE m.number > numbers[m.part]
                        AND (m.type_set = 0 OR t.types ? e.event_type)
                        AND (o.seen IS NULL OR NOT m.number <@ o.seen)
                        AND (b.above IS NULL OR m.number > b.above)
                        AND (b.since IS NULL OR e.occurred_at >= b.since)
                        AND (b.until IS NULL OR e.occurred_at <= b.until)
                    GROUP BY m.part
                LOOP
                    faults[line.part] := line.conflict;
                    IF cardinality(line.numbers) <= most_told THEN
                        tails[line.part] := line.numbers::text;
                    END IF;
                    strayed := true;
                END LOOP;
            END IF;
        END IF;

        -- 5. In order of members: what its parts say, and whether it relied on one that is not recorded (broken), or meets
        -- one that is (resend). Parts that are stirred are those that such an event lies in. 6. Whoever is left passes.
        running := head;
        FOR member IN 1 .. many LOOP
            events := members[told];
            reads := members[told + 2];
            meets := told + 3 + reads;
            judged := verdicts[member];
            IF judged IS NULL AND members[told + 1] > 0 THEN
                IF verdicts[members[told + 1]] <> 'appended' THEN
                    judged := CASE WHEN chained THEN 'broken' ELSE 'resend' END;
                ELSIF digests[members[told + 1]] <> digests[member] THEN
                    judged := 'reused';
                ELSE
                    judged := 'duplicate';
                    repeated := true;
                    firsts[member] := firsts[members[told + 1]];
                    lasts[member] := lasts[members[told + 1]];
                    positions[member] := positions[members[told + 1]];
                    places[member] := places[members[told + 1]];
                    times[member] := moment;
                    details[member] := receipts[members[told + 1]];
                END IF;
            END IF;
            IF judged IS NULL AND (strayed OR moved) THEN
                worst := NULL;
                met := false;
                FOR place IN told + 3 .. told + 2 + reads LOOP
                    fault := faults[members[place]];
                    IF fault < worst OR worst IS NULL AND fault IS NOT NULL THEN
                        worst := fault;
                        culprits[member] := place - told - 3;
                    END IF;
                    met := met OR stirred[members[place]];
                END LOOP;
                IF worst IS NOT NULL THEN
                    judged := CASE worst WHEN lost THEN 'diverged' WHEN far THEN 'behind' ELSE 'conflict' END;
                    conflicts[member] := nullif(greatest(worst, 0), 0);
                    IF reads = 1 AND conflicts[member] IS NOT NULL AND tails[members[told + 3]] IS NOT NULL THEN
                        unseen_by[member] := tails[members[told + 3]];
                        positions[member] := head;
                        places[member] := head_token;
                    END IF;
                ELSIF met THEN
                    judged := CASE WHEN chained THEN 'broken' ELSE 'resend' END;
                END IF;
            END IF;
            IF judged IS NULL THEN
                verdicts[member] := 'appended';
                IF events > 0 THEN
                    firsts[member] := running + 1;
                    running := running + events;
                    lasts[member] := running;
                END IF;
                positions[member] := running;
                places[member] := CASE WHEN running > head THEN batch ELSE head_token END;
            ELSE
                verdicts[member] := judged;
                IF events > 0 THEN
                    IF recorded IS NULL THEN
                        recorded := array_fill(true, ARRAY[cardinality(event_types)]);
                    END IF;
                    FOR place IN event + 1 .. event + events LOOP
                        recorded[place] := false;
                    END LOOP;
                END IF;
            END IF;
            IF (judged IS NULL) <> chained THEN
                FOR place IN meets + 1 .. meets + members[meets] LOOP
                    stirred[members[place]] := true;
                    moved := true;
                END LOOP;
            END IF;
            event := event + events;
            told := meets + 1 + members[meets];
        END LOOP;

        IF running > head THEN
            IF recorded IS NULL THEN
                INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
                SELECT head + b.place, batch, b.event_type, b.occurred_at, b.payload, b.metadata
                FROM unnest(event_types, occurred, payloads, metadatas)
                    WITH ORDINALITY AS b (event_type, occurred_at, payload, metadata, place);
            ELSE
                INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
                SELECT head + row_number() OVER (ORDER BY b.place), batch, b.event_type, b.occurred_at, b.payload, b.metadata
                FROM unnest(event_types, occurred, payloads, metadatas)
                    WITH ORDINALITY AS b (event_type, occurred_at, payload, metadata, place)
                WHERE recorded[b.place];
            END IF;
        END IF;
        IF keyed THEN
            INSERT INTO eventstore.receipts (
                key, scope, digest, outcome, reason, details, first_number, last_number, position, position_token, recorded_at
            )
            SELECT k.key, k.scope, k.digest, k.receipt ->> 'outcome', k.receipt ->> 'reason', k.receipt -> 'details',
                k.first_number, k.last_number, k.position, k.position_token, moment
            FROM unnest(keys, scopes, digests, receipts, verdicts, firsts, lasts, positions, places)
                AS k (key, scope, digest, receipt, verdict, first_number, last_number, position, position_token)
            WHERE k.key IS NOT NULL AND k.verdict = 'appended';
        END IF;
        -- A duplicate's answer must be as durable as the append it speaks of, which may still be on its way to a synchronous
        -- standby. A record of our own makes this commit wait for it.
        IF repeated THEN
            PERFORM pg_logical_emit_message(true, 'eventstore', 'duplicate');
        END IF;

        RETURN QUERY
        SELECT v.verdict, v.part, v.first_number, v.last_number, v.position, v.position_token,
            CASE WHEN v.verdict = 'appended' THEN moment ELSE v.recorded_at END,
            CASE WHEN v.conflict IS NULL THEN v.detail ELSE (
                SELECT jsonb_build_object('number', e.sequence_number, 'type', e.event_type, 'metadata', e.metadata)
                    || CASE WHEN v.unseen_by IS NULL THEN '{}' ELSE jsonb_build_object('unseen', (
                        SELECT jsonb_agg(
                            jsonb_build_array(
                                u.sequence_number, u.token, u.event_type, u.occurred_at, u.payload, u.metadata
                            )
                            ORDER BY u.sequence_number
                        )
                        FROM eventstore.events u
                        WHERE u.sequence_number = ANY (v.unseen_by::bigint[])
                    )) END
                FROM eventstore.events e
                WHERE e.sequence_number = v.conflict
            ) END
        FROM unnest(verdicts, culprits, firsts, lasts, positions, places, times, conflicts, details, unseen_by)
            WITH ORDINALITY AS v (
                verdict, part, first_number, last_number, position, position_token, recorded_at, conflict, detail, unseen_by,
                member
            )
        ORDER BY v.member;
    END;
END
$$;
