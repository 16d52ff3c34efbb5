-- Purpose: take in events in bulk, chunk by chunk, and know in the database itself how far that has come.
-- Run by: the migration, as the owner of the schema, inside its transaction.

-- What was imported, of which source. It is written in the transaction of the events that it counts.
CREATE TABLE eventstore.imports (
    kind          text        NOT NULL CHECK (kind IN ('file', 'adoption')),
    name          text        COLLATE "C" NOT NULL,
    -- How many records of the source are recorded, what they add up to, and the source's own number of the last one.
    records       bigint      NOT NULL CHECK (records >= 0),
    digest        bytea,
    source_number bigint,
    first_number  bigint      NOT NULL,
    last_number   bigint      NOT NULL,
    started_at    timestamptz NOT NULL,
    recorded_at   timestamptz NOT NULL,
    PRIMARY KEY (kind, name)
);

GRANT SELECT ON eventstore.imports TO eventstore_runtime;

-- Purpose: record the next chunk of an import under the lock that every append waits for, as an append without a boundary.
-- Parameters: kind, name      the import
--   before                    how many of its records are recorded, as far as the caller knows
--   digest, source_number     what is noted of the records with this chunk: what they add up to, the last one's number
--   event_types, occurred, payloads, metadatas   per event, in order
-- Result: one row, the numbers of the chunk's first and last event.
-- Everything is read from the message and turned into values before the lock is taken: it is held for the insert alone.
-- Errors: ES001 wrong isolation level, ES002 synchronous_commit is off or local, ES004 the lock row is lost,
-- ES005 another process goes on with the same import, ES006 an adoption meets events that are not its own.
CREATE FUNCTION eventstore.import_v1(
    kind text, name text, before bigint, digest bytea, source_number bigint,
    event_types text[], occurred timestamptz[], payloads jsonb[], metadatas jsonb[]
) RETURNS TABLE (first_number bigint, last_number bigint)
    LANGUAGE plpgsql VOLATILE
    SET search_path = eventstore, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    many   CONSTANT bigint := cardinality(event_types);
    moment CONSTANT timestamptz := clock_timestamp();
    batch  CONSTANT bigint := hashtextextended(gen_random_uuid()::text, 0) & 4611686018427387903;
    known  eventstore.imports;
    head   bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'an append needs READ COMMITTED: under % it would judge by an old snapshot',
            current_setting('transaction_isolation') USING ERRCODE = 'ES001';
    END IF;
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        RAISE EXCEPTION 'an append needs synchronous_commit = on: under % a crash could lose what was promised',
            current_setting('synchronous_commit') USING ERRCODE = 'ES002';
    END IF;

    PERFORM FROM eventstore.store s WHERE s.singleton FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the event store has lost its lock row' USING ERRCODE = 'ES004';
    END IF;
    -- Each a statement of its own: the one that waited for the lock saw the log, and the imports, as they were before.
    SELECT e.sequence_number INTO head FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1;
    head := coalesce(head, 0);
    SELECT i.* INTO known FROM eventstore.imports i WHERE i.kind = import_v1.kind AND i.name = import_v1.name;
    IF coalesce(known.records, 0) <> before THEN
        RAISE EXCEPTION 'records % and following are expected, and % are recorded', before, coalesce(known.records, 0)
            USING ERRCODE = 'ES005';
    END IF;
    IF kind = 'adoption' AND head <> coalesce(known.last_number, 0) THEN
        RAISE EXCEPTION 'the log ends at %, and the adoption at %', head, coalesce(known.last_number, 0)
            USING ERRCODE = 'ES006';
    END IF;

    INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
    SELECT head + b.place, batch, b.event_type, b.occurred_at, b.payload, b.metadata
    FROM unnest(event_types, occurred, payloads, metadatas)
        WITH ORDINALITY AS b (event_type, occurred_at, payload, metadata, place);

    IF known.records IS NULL THEN
        INSERT INTO eventstore.imports
        VALUES (kind, name, many, digest, source_number, head + 1, head + many, moment, moment);
    ELSE
        UPDATE eventstore.imports i SET records = before + many, digest = import_v1.digest,
            source_number = import_v1.source_number, last_number = head + many, recorded_at = moment
        WHERE i.kind = import_v1.kind AND i.name = import_v1.name;
    END IF;
    RETURN QUERY SELECT head + 1, head + many;
END
$$;

-- Only the schema's owner, and a superuser, import.
REVOKE ALL ON FUNCTION eventstore.import_v1 FROM PUBLIC;
