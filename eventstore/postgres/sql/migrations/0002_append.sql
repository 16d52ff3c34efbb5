-- Purpose: judge a batch of append requests, in order, under the head's lock, and record what passes.
-- Parameters: flattened arrays. Requests are numbered 1, 2, 3 … ("members"), items 1, 2, 3 … across all members.
--   afters, after_tokens   per member: the position of its decision; null: unconditional
--   chains                 per member: a number that it shares with those it was decided on top of, which come before
--                          it, or null. It has seen their events; whoever has a chain has a key
--   keys, digests          per member: its idempotency key (or null) and what tells its request from another
--   outcomes, reasons, detail_objects   per member: what its receipt says
--   item_members           per boundary item: the member it belongs to
--   item_types             per item: a JSON array of event types; null: any type
--   item_needed            per item: how many of its predicates an event must fulfil; 0: it has none
--   item_since, item_until, item_above   per item: the filter's bounds, or null
--   predicate_items, predicates   per predicate: its item, and the JSON object {"field": value}; distinct in an item
--   event_members, event_types, occurred, payloads, metadatas   per event, in order of members
--   tail_limit             how far behind the head a position may be and still be judged under the lock
-- Result: one row a member.
--   verdict 'appended' (also when there was nothing to record and the boundary held), 'duplicate', 'reused' (the
--   key belongs to another request), 'diverged' (the position is not in this history), 'behind' (read above
--   the position outside the lock, then come back), 'conflict' (conflict_* name the first conflicting event), 'resend'
--   (it meets an earlier member of this batch: the next batch tells), or 'broken' (it has seen an event of its chain that
--   was not recorded, or would have to be sent again by itself). The other columns are the receipt.
-- Errors: ES001 wrong isolation level, ES002 synchronous_commit is off or local.
CREATE FUNCTION eventstore.append_v1(
    afters bigint[], after_tokens bigint[], chains bigint[],
    keys uuid[], digests bytea[], outcomes text[], reasons text[], detail_objects jsonb[],
    item_members integer[], item_types jsonb[], item_needed integer[],
    item_since timestamptz[], item_until timestamptz[], item_above bigint[],
    predicate_items integer[], predicates jsonb[],
    event_members integer[], event_types text[], occurred timestamptz[], payloads jsonb[], metadatas jsonb[],
    tail_limit integer
) RETURNS TABLE (
    verdict text,
    outcome text, reason text, detail jsonb,
    first_number bigint, last_number bigint, "position" bigint, position_token bigint, recorded_at timestamptz,
    conflict_number bigint, conflict_type text, conflict_metadata jsonb
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
    members   CONSTANT integer := cardinality(afters);
    moment    CONSTANT timestamptz := clock_timestamp();
    batch     CONSTANT bigint := hashtextextended(gen_random_uuid()::text, 0) & 4611686018427387903;
    verdicts  text[] := array_fill(NULL::text, ARRAY[members]);
    firsts    bigint[] := array_fill(NULL::bigint, ARRAY[members]);
    lasts     bigint[] := array_fill(NULL::bigint, ARRAY[members]);
    conflicts bigint[] := array_fill(NULL::bigint, ARRAY[members]);
    counts    integer[] := array_fill(0, ARRAY[members]);
    positions bigint[] := array_fill(NULL::bigint, ARRAY[members]);
    tokens    bigint[] := array_fill(NULL::bigint, ARRAY[members]);
    head      bigint;
    token     bigint;
    running   bigint;
    lowest    bigint;
    found     record;
    member    integer;
    keyed     boolean := false;
    repeats   boolean := false;
    judged    integer := 0;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'an append needs READ COMMITTED: under % it would judge by an old snapshot',
            current_setting('transaction_isolation') USING ERRCODE = 'ES001';
    END IF;
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        RAISE EXCEPTION 'an append needs synchronous_commit = on: under % a crash could lose what was promised',
            current_setting('synchronous_commit') USING ERRCODE = 'ES002';
    END IF;

    -- The turn. What follows is a statement of its own with a snapshot of its own, and so sees every event up to the
    -- head; a check within this statement would not.
    SELECT s.head, s.token INTO STRICT head, token FROM eventstore.store s WHERE s.singleton FOR UPDATE;

    -- 1. Duplicates: by a stored receipt. A member that repeats an earlier one's key waits for that one's verdict.
    FOR member IN 1 .. members LOOP
        CONTINUE WHEN keys[member] IS NULL;
        keyed := true;
        IF member > 1 AND keys[member] = ANY (keys[1 : member - 1]) THEN
            verdicts[member] := 'resend';
            repeats := true;
        END IF;
    END LOOP;
    IF keyed THEN
        FOR found IN
            SELECT k.member::integer AS member, r.digest = digests[k.member] AS same
            FROM unnest(keys) WITH ORDINALITY AS k (key, member)
            JOIN eventstore.receipts r ON r.key = k.key
        LOOP
            verdicts[found.member] := CASE WHEN found.same THEN 'duplicate' ELSE 'reused' END;
        END LOOP;
    END IF;

    -- 2. Diverged, and 3. behind. Only a position below the head needs a look at its event.
    FOR member IN 1 .. members LOOP
        CONTINUE WHEN verdicts[member] IS NOT NULL OR afters[member] IS NULL;
        IF afters[member] > head OR (afters[member] = head AND after_tokens[member] <> token) THEN
            verdicts[member] := 'diverged';
        ELSIF afters[member] < head AND (
            CASE WHEN afters[member] = 0 THEN 0
            ELSE (SELECT e.token FROM eventstore.events e WHERE e.sequence_number = afters[member]) END
        ) IS DISTINCT FROM after_tokens[member] THEN
            verdicts[member] := 'diverged';
        ELSIF head - afters[member] > tail_limit THEN
            verdicts[member] := 'behind';
        ELSE
            lowest := least(lowest, afters[member]);
            judged := judged + 1;
        END IF;
    END LOOP;

    -- 4. Conflicts with the tail, and 5. meetings with earlier members of this batch: one set-based statement, which
    -- expands the fields of every event in question once and joins the predicates by equality. Nobody needs it who
    -- is alone and up to date.
    IF judged > 0 AND (lowest < head OR (members > 1 AND cardinality(event_members) > 0)) THEN
        FOR found IN
            WITH event AS MATERIALIZED (
                SELECT e.sequence_number AS number, NULL::integer AS member, e.event_type, e.occurred_at, e.payload
                FROM eventstore.events e
                WHERE e.sequence_number = ANY (ARRAY(SELECT generate_series(lowest + 1, head)))
                UNION ALL
                SELECT head + b.place, b.member, b.event_type, b.occurred_at, b.payload
                FROM unnest(event_members, event_types, occurred, payloads)
                    WITH ORDINALITY AS b (member, event_type, occurred_at, payload, place)
                WHERE members > 1
            ), item AS MATERIALIZED (
                SELECT i.*, afters[i.member] AS after
                FROM unnest(item_members, item_types, item_needed, item_since, item_until, item_above)
                    WITH ORDINALITY AS i (member, types, needed, since, until, above, item)
                WHERE verdicts[i.member] IS NULL AND afters[i.member] IS NOT NULL
            ), matching AS (
                SELECT i.item, e.number
                FROM (
                    SELECT p.item, f.number, count(*) AS fulfilled
                    FROM (
                        SELECT q.item, field.key, field.value
                        FROM unnest(predicate_items, predicates) AS q (item, fragment),
                            jsonb_each(q.fragment) AS field
                    ) p
                    JOIN (
                        SELECT e.number, field.key, field.value FROM event e, jsonb_each(e.payload) AS field
                    ) f ON f.key = p.key AND f.value = p.value
                    GROUP BY p.item, f.number
                ) m
                JOIN item i ON i.item = m.item AND m.fulfilled >= i.needed
                JOIN event e ON e.number = m.number AND (i.types IS NULL OR i.types ? e.event_type)
                UNION ALL
                SELECT i.item, e.number
                FROM item i, jsonb_array_elements_text(i.types) AS t (event_type), event e
                WHERE i.needed = 0 AND e.event_type = t.event_type
                UNION ALL
                SELECT i.item, e.number FROM item i, event e WHERE i.needed = 0 AND i.types IS NULL
            )
            SELECT i.member,
                min(e.number) FILTER (WHERE e.member IS NULL) AS conflict,
                array_agg(DISTINCT e.member) FILTER (WHERE e.member IS NOT NULL) AS earlier
            FROM matching m
            JOIN item i ON i.item = m.item
            JOIN event e ON e.number = m.number
            WHERE e.number > i.after
                AND (e.member IS NULL OR e.member < i.member)
                -- The number of a member's event is not final yet: a bound on it cannot speak for the event.
                AND (e.member IS NOT NULL OR i.above IS NULL OR e.number > i.above)
                AND (i.since IS NULL OR e.occurred_at >= i.since)
                AND (i.until IS NULL OR e.occurred_at <= i.until)
            GROUP BY i.member
            ORDER BY i.member
        LOOP
            -- In order of members: whether an earlier one passed is known by now. Only one that passed counts.
            IF found.conflict IS NOT NULL THEN
                verdicts[found.member] := 'conflict';
                conflicts[found.member] := found.conflict;
            ELSIF EXISTS (
                SELECT FROM unnest(found.earlier) AS m (member)
                WHERE chains[m.member] = chains[found.member] AND verdicts[m.member] IS NOT NULL
            ) THEN
                verdicts[found.member] := 'broken';
            ELSIF EXISTS (
                SELECT FROM unnest(found.earlier) AS m (member)
                WHERE chains[m.member] = chains[found.member] IS NOT TRUE AND verdicts[m.member] IS NULL
            ) THEN
                -- In the next batch nobody would know any more whom a member of a chain relied on.
                verdicts[found.member] := CASE WHEN chains[found.member] IS NULL THEN 'resend' ELSE 'broken' END;
            END IF;
        END LOOP;
    END IF;

    -- 6. Whoever is left passes. Numbers are given in order.
    FOREACH member IN ARRAY event_members LOOP
        counts[member] := counts[member] + 1;
    END LOOP;
    running := head;
    FOR member IN 1 .. members LOOP
        CONTINUE WHEN verdicts[member] IS NOT NULL;
        verdicts[member] := 'appended';
        IF counts[member] > 0 THEN
            firsts[member] := running + 1;
            running := running + counts[member];
            lasts[member] := running;
        END IF;
        positions[member] := running;
        tokens[member] := CASE WHEN running > head THEN batch ELSE token END;
    END LOOP;

    IF running > head THEN
        INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
        SELECT head + row_number() OVER (ORDER BY b.place), batch, b.event_type, b.occurred_at, b.payload, b.metadata
        FROM unnest(event_members, event_types, occurred, payloads, metadatas)
            WITH ORDINALITY AS b (member, event_type, occurred_at, payload, metadata, place)
        WHERE verdicts[b.member] = 'appended';
        UPDATE eventstore.store s SET head = running, token = batch WHERE s.singleton;
    END IF;
    IF keyed THEN
        INSERT INTO eventstore.receipts
        SELECT k.key, digests[k.member], outcomes[k.member], reasons[k.member], detail_objects[k.member],
            firsts[k.member], lasts[k.member], positions[k.member], tokens[k.member], moment
        FROM unnest(keys) WITH ORDINALITY AS k (key, member)
        WHERE k.key IS NOT NULL AND verdicts[k.member] = 'appended';
        IF repeats THEN
            FOR found IN
                SELECT k.member::integer AS member, r.digest = digests[k.member] AS same
                FROM unnest(keys) WITH ORDINALITY AS k (key, member)
                JOIN eventstore.receipts r ON r.key = k.key
                WHERE verdicts[k.member] = 'resend'
            LOOP
                verdicts[found.member] := CASE WHEN found.same THEN 'duplicate' ELSE 'reused' END;
            END LOOP;
            -- Whoever of a chain repeats a key that was not recorded was never judged, and in the next batch nobody
            -- would know whom it relied on.
            FOR member IN 2 .. members LOOP
                IF verdicts[member] = 'resend' AND chains[member] IS NOT NULL
                    AND keys[member] = ANY (keys[1 : member - 1])
                THEN
                    verdicts[member] := 'broken';
                END IF;
            END LOOP;
        END IF;
        -- A duplicate's answer must be as durable as the append it speaks of, which may still be on its way to a
        -- synchronous standby. A record of our own makes this commit wait for it.
        IF 'duplicate' = ANY (verdicts) THEN
            PERFORM pg_logical_emit_message(true, 'eventstore', 'duplicate');
        END IF;
    END IF;

    RETURN QUERY
    SELECT v.verdict,
        CASE WHEN v.verdict = 'appended' THEN outcomes[v.member] ELSE r.outcome END,
        CASE WHEN v.verdict = 'appended' THEN reasons[v.member] ELSE r.reason END,
        CASE WHEN v.verdict = 'appended' THEN detail_objects[v.member] ELSE r.details END,
        coalesce(firsts[v.member], r.first_number), coalesce(lasts[v.member], r.last_number),
        coalesce(positions[v.member], r.position), coalesce(tokens[v.member], r.position_token),
        CASE WHEN v.verdict = 'appended' THEN moment ELSE r.recorded_at END,
        e.sequence_number, e.event_type, e.metadata
    FROM unnest(verdicts) WITH ORDINALITY AS v (verdict, member)
    LEFT JOIN eventstore.receipts r ON v.verdict = 'duplicate' AND r.key = keys[v.member]
    LEFT JOIN eventstore.events e ON e.sequence_number = conflicts[v.member]
    ORDER BY v.member;
END
$$;

REVOKE ALL ON FUNCTION eventstore.append_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION eventstore.append_v1 TO eventstore_runtime;
