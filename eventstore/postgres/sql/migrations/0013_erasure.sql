-- Purpose: keys of subjects, whose personal fields stand sealed in events, and a way to forget a subject.
-- Run by: the migration, as the owner of the schema, inside its transaction.

-- What seals the fields of one subject. Whoever makes a key wraps it by a key that this database never sees.
CREATE TABLE eventstore.subject_keys (
    id       uuid        PRIMARY KEY,
    field    text        COLLATE "C" NOT NULL,
    subject  text        COLLATE "C" NOT NULL,
    wrapped  bytea       NOT NULL,
    made_at  timestamptz NOT NULL,
    UNIQUE (field, subject)
);

-- Those that are there already may have been folded from anything.
ALTER TABLE eventstore.states ADD COLUMN sensitive boolean NOT NULL DEFAULT true;

-- Purpose: have a key for each of several subjects, all of them different.
-- Parameters: keys, fields, subjects, wrapped   per subject: a new key, which is kept if the subject has none.
-- Result: the key that each subject has now, in no order; none of one that was forgotten at this moment.
CREATE FUNCTION eventstore.make_subject_keys_v1(keys uuid[], fields text[], subjects text[], wrapped bytea[])
    RETURNS TABLE (id uuid, field text, subject text, wrapped_key bytea)
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = eventstore, pg_temp
AS $$
    -- In one order, whoever asks: two that make keys for the same subjects never wait for each other.
    INSERT INTO eventstore.subject_keys (id, field, subject, wrapped, made_at)
    SELECT n.id, n.field, n.subject, n.wrapped, clock_timestamp()
    FROM unnest($1, $2, $3, $4) AS n (id, field, subject, wrapped)
    WHERE NOT EXISTS (
        SELECT FROM eventstore.subject_keys k WHERE k.field = n.field AND k.subject = n.subject
    )
    ORDER BY n.field, n.subject
    ON CONFLICT (field, subject) DO NOTHING;
    -- A statement of its own: its snapshot has what another process made meanwhile.
    SELECT k.id, k.field, k.subject, k.wrapped
    FROM unnest($2, $3) AS n (field, subject)
    JOIN eventstore.subject_keys k ON k.field = n.field AND k.subject = n.subject
$$;

-- Purpose: look up keys by what sealed values name them by.
-- Parameters: keys   uuid[].
-- Result: those that there are, in no order.
CREATE FUNCTION eventstore.subject_keys_v1(keys uuid[])
    RETURNS TABLE (id uuid, field text, subject text, wrapped_key bytea)
    LANGUAGE sql STABLE
    SECURITY DEFINER
    SET search_path = eventstore, pg_temp
AS $$
    SELECT k.id, k.field, k.subject, k.wrapped FROM eventstore.subject_keys k WHERE k.id = ANY ($1)
$$;

-- Purpose: store a state, in place of an earlier one of its key, as put_state_v1 does.
-- Parameters: a state's columns, as they are in the table; sensitive   whether it may show what is sealed in events.
-- Result: none. Nothing is stored that may show what was forgotten above its position.
CREATE FUNCTION eventstore.put_state_v2(
    digest bytea, domain text, view text, version integer, key text, filter_digest bytea, "position" bigint, token bigint,
    state bytea, events bigint, sensitive boolean
) RETURNS void
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = eventstore, pg_temp
    SET enable_seqscan = off
AS $$
    -- First, and in statements of their own: what is looked up below is then as new as any state that is there, and no
    -- subject is forgotten until this state is there to be deleted.
    SELECT pg_advisory_xact_lock_shared(1163284301, 13) WHERE $11;
    SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 0));
    INSERT INTO eventstore.states AS s
        (digest, domain, view, version, key, filter_digest, position, token, state, events, written_at, sensitive)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp(), $11
    WHERE ($7 = 0 AND $8 = 0
            OR EXISTS (SELECT FROM eventstore.events e WHERE e.sequence_number = $7 AND e.token = $8))
        AND NOT ($11 AND EXISTS (
            SELECT FROM eventstore.events e WHERE e.event_type = 'SubjectForgotten' AND e.sequence_number > $7
        ))
    ON CONFLICT ON CONSTRAINT states_pkey DO UPDATE
    SET position = EXCLUDED.position, token = EXCLUDED.token, state = EXCLUDED.state, events = EXCLUDED.events,
        written_at = EXCLUDED.written_at, sensitive = EXCLUDED.sensitive
    WHERE s.position <= EXCLUDED.position
        OR NOT EXISTS (SELECT FROM eventstore.events e WHERE e.sequence_number = s.position AND e.token = s.token)
$$;

-- Purpose: forget a subject: delete its key and the states that may show what it sealed, and record that as an event.
-- Parameters: field, subject   whom.
-- Result: one row: the number of the event, null if there was no key and nothing was done; how many states were deleted;
-- the number of the last such event before, null without one.
-- Whoever seals has this event in the boundary of the append, from before the key was asked for: under the lock that every
-- append waits for, either that append comes first, and its key is deleted here, or it is refused.
-- Errors: ES001 wrong isolation level, ES002 synchronous_commit is off or local, ES004 the lock row is lost.
CREATE FUNCTION eventstore.forget_v1(field text, subject text)
    RETURNS TABLE (number bigint, states bigint, before bigint)
    LANGUAGE plpgsql VOLATILE
    SET search_path = eventstore, pg_temp
    SET enable_seqscan = off
    SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    fact   CONSTANT jsonb := jsonb_build_object('SubjectField', field, 'Subject', subject);
    batch  CONSTANT bigint := hashtextextended(gen_random_uuid()::text, 0) & 4611686018427387903;
    dropped bigint;
    head   bigint;
    last   bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'an append needs READ COMMITTED: under % it would judge by an old snapshot',
            current_setting('transaction_isolation') USING ERRCODE = 'ES001';
    END IF;
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        RAISE EXCEPTION 'an append needs synchronous_commit = on: under % a crash could lose what was promised',
            current_setting('synchronous_commit') USING ERRCODE = 'ES002';
    END IF;

    PERFORM eventstore.extend_v1(1);
    -- States that are being stored come first, and are deleted below; later ones see the event.
    PERFORM pg_advisory_xact_lock(1163284301, 13);
    PERFORM FROM eventstore.store s WHERE s.singleton FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the event store has lost its lock row' USING ERRCODE = 'ES004';
    END IF;
    -- Each a statement of its own: the one that waited for the lock saw everything as it was before.
    WITH found AS MATERIALIZED (
        SELECT e.sequence_number FROM eventstore.events e
        WHERE e.event_type = 'SubjectForgotten' AND e.payload @> fact
    )
    SELECT max(f.sequence_number) INTO last FROM found f;
    DELETE FROM eventstore.subject_keys k WHERE k.field = forget_v1.field AND k.subject = forget_v1.subject;
    IF NOT FOUND THEN
        RETURN QUERY SELECT NULL::bigint, 0::bigint, last;
        RETURN;
    END IF;
    DELETE FROM eventstore.states s WHERE s.sensitive;
    GET DIAGNOSTICS dropped = ROW_COUNT;
    SELECT h.sequence_number INTO head FROM eventstore.head_v1() h;
    head := coalesce(head, 0) + 1;
    INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
    VALUES (head, batch, 'SubjectForgotten', clock_timestamp(), fact, '{"recorded_by": "worker db forget"}');
    RETURN QUERY SELECT head, dropped, last;
END
$$;

REVOKE ALL ON FUNCTION eventstore.make_subject_keys_v1 FROM PUBLIC;
REVOKE ALL ON FUNCTION eventstore.subject_keys_v1 FROM PUBLIC;
REVOKE ALL ON FUNCTION eventstore.put_state_v2 FROM PUBLIC;
-- Only the schema's owner, and a superuser, forget.
REVOKE ALL ON FUNCTION eventstore.forget_v1 FROM PUBLIC;

GRANT EXECUTE ON FUNCTION eventstore.make_subject_keys_v1 TO eventstore_runtime;
GRANT EXECUTE ON FUNCTION eventstore.subject_keys_v1 TO eventstore_runtime;
GRANT EXECUTE ON FUNCTION eventstore.put_state_v2 TO eventstore_runtime;
