-- Purpose: stored states of views. They are a cache: whatever is in this table may be deleted at any time.
-- Run by: the migration, as the owner of the schema, inside its transaction.

CREATE TABLE eventstore.states (
    -- Of the five columns below: a key may be longer than an index takes.
    digest         bytea       PRIMARY KEY,
    domain         text        NOT NULL,
    view           text        NOT NULL,
    version        integer     NOT NULL,
    key            text        NOT NULL,
    filter_digest  bytea       NOT NULL,
    position       bigint      NOT NULL,
    token          bigint      NOT NULL,
    state          bytea       NOT NULL,
    events         bigint      NOT NULL,
    written_at     timestamptz NOT NULL
);

-- Purpose: store a state, in place of an earlier one of its key.
-- Parameters: a state's columns, as they are in the table.
-- Result: none. Nothing is stored that is not in the log's history, or not as far as what is stored and is in it.
CREATE FUNCTION eventstore.put_state_v1(
    digest bytea, domain text, view text, version integer, key text, filter_digest bytea, "position" bigint, token bigint,
    state bytea, events bigint
) RETURNS void
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = eventstore, pg_temp
AS $$
    -- First, and in a statement of its own: what is looked up below is then as new as any state that is there.
    SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 0));
    INSERT INTO eventstore.states AS s
        (digest, domain, view, version, key, filter_digest, position, token, state, events, written_at)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp()
    WHERE $7 = 0 AND $8 = 0
        OR EXISTS (SELECT FROM eventstore.events e WHERE e.sequence_number = $7 AND e.token = $8)
    ON CONFLICT ON CONSTRAINT states_pkey DO UPDATE
    SET position = EXCLUDED.position, token = EXCLUDED.token, state = EXCLUDED.state, events = EXCLUDED.events,
        written_at = EXCLUDED.written_at
    WHERE s.position <= EXCLUDED.position
        OR NOT EXISTS (SELECT FROM eventstore.events e WHERE e.sequence_number = s.position AND e.token = s.token)
$$;

REVOKE ALL ON FUNCTION eventstore.put_state_v1 FROM PUBLIC;

GRANT SELECT ON eventstore.states TO eventstore_runtime;
GRANT EXECUTE ON FUNCTION eventstore.put_state_v1 TO eventstore_runtime;
