-- Purpose: the log, its head, the receipts, and what guards them.
-- Run by: the migration, as the owner of the schema, inside its transaction.

-- The head is a row, not a max(): whoever holds its lock assigns the next numbers, so that they are gapless and in
-- commit order. A low fill factor keeps its many versions on one page.
CREATE TABLE eventstore.store (
    singleton      boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    head           bigint  NOT NULL CHECK (head >= 0),
    token          bigint  NOT NULL,
    schema_version integer NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000);

INSERT INTO eventstore.store (head, token, schema_version) VALUES (0, 0, 0);

CREATE TABLE eventstore.events (
    sequence_number bigint      PRIMARY KEY,
    -- Random, one a transaction: tells this event from another with its number in a rewritten history.
    token           bigint      NOT NULL,
    event_type      text        NOT NULL,
    occurred_at     timestamptz NOT NULL,
    payload         jsonb       NOT NULL CHECK (jsonb_typeof(payload) = 'object'),
    metadata        jsonb       NOT NULL CHECK (jsonb_typeof(metadata) = 'object')
);

-- fastupdate = off: a pending list would have to be searched by every read.
CREATE INDEX events_payload ON eventstore.events USING gin (payload jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX events_type ON eventstore.events (event_type, sequence_number);
CREATE INDEX events_occurred_at ON eventstore.events USING brin (occurred_at);

CREATE TABLE eventstore.receipts (
    key             uuid        PRIMARY KEY,
    digest          bytea       NOT NULL,
    outcome         text        NOT NULL CHECK (outcome IN ('accepted', 'rejected', 'unchanged')),
    reason          text,
    details         jsonb       NOT NULL CHECK (jsonb_typeof(details) = 'object'),
    first_number    bigint,
    last_number     bigint,
    position        bigint      NOT NULL,
    position_token  bigint      NOT NULL,
    recorded_at     timestamptz NOT NULL,
    CHECK ((first_number IS NULL) = (last_number IS NULL))
);

-- How far receipts were deleted, in one row once any were. Not in the store's row, whose lock every append waits for.
CREATE TABLE eventstore.pruning (
    singleton       boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    receipts_before timestamptz NOT NULL
);

CREATE FUNCTION eventstore.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = eventstore, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'events are facts: % is refused', TG_OP USING ERRCODE = 'ES003';
END
$$;

CREATE TRIGGER events_are_facts
    BEFORE UPDATE OR DELETE OR TRUNCATE ON eventstore.events
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change();
-- A superuser's session_replication_role must not switch the guard off by the way.
ALTER TABLE eventstore.events ENABLE ALWAYS TRIGGER events_are_facts;

REVOKE ALL ON FUNCTION eventstore.refuse_change() FROM PUBLIC;

GRANT USAGE ON SCHEMA eventstore TO eventstore_runtime;
GRANT SELECT ON eventstore.store, eventstore.events, eventstore.receipts, eventstore.pruning TO eventstore_runtime;
