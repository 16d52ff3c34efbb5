-- Purpose: how far what follows the log has come, and which process may write for it.
-- Run by: the migration, as the owner of the schema, inside its transaction.

-- A schema of its own, which needs nothing of the store's: the tables of projections may lie in another database.
CREATE SCHEMA reading;

-- One row for each that follows the log. A projection that is built anew has two until the new one takes its place.
CREATE TABLE reading.followers (
    follower_id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text        COLLATE "C" NOT NULL CHECK (kind <> ''),
    domain        text        COLLATE "C" NOT NULL,
    name          text        COLLATE "C" NOT NULL,
    version       integer     NOT NULL,
    -- What its tables look like: another look without another version is a mistake.
    layout        bytea       NOT NULL,
    -- Whether it is the one that readers read.
    is_current    boolean     NOT NULL,
    -- How far it has come: everything up to this event has taken effect, each once.
    number        bigint      NOT NULL DEFAULT 0,
    token         bigint      NOT NULL DEFAULT 0,
    -- How far the log was then.
    head          bigint      NOT NULL DEFAULT 0,
    moved_at      timestamptz,
    -- The lease. Whoever takes it gets the next fence; who comes with an older one writes nothing.
    owner         text,
    fence         bigint      NOT NULL DEFAULT 0,
    leased_until  timestamptz NOT NULL DEFAULT '-infinity',
    paused_at     timestamptz,
    -- The event that stopped it.
    failed_number bigint,
    failed_type   text,
    error         text,
    trace         text,
    failed_at     timestamptz,
    -- When the event that it had come to was found to be another one: the log was rewritten behind it.
    diverged_at   timestamptz,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX followers_current ON reading.followers (kind, domain, name) WHERE is_current;
CREATE UNIQUE INDEX followers_next ON reading.followers (kind, domain, name) WHERE NOT is_current;

-- Events that a person had left out, and why. They are left out again where the same version is built anew.
CREATE TABLE reading.skipped (
    kind       text        COLLATE "C" NOT NULL,
    domain     text        COLLATE "C" NOT NULL,
    name       text        COLLATE "C" NOT NULL,
    version    integer     NOT NULL,
    number     bigint      NOT NULL,
    event_type text        NOT NULL,
    error      text        NOT NULL,
    reason     text        NOT NULL,
    skipped_by text        NOT NULL,
    skipped_at timestamptz NOT NULL,
    PRIMARY KEY (kind, domain, name, version, number)
);

-- Followers that are gone, whose tables are not yet.
CREATE TABLE reading.retired (
    follower_id bigint      PRIMARY KEY,
    retired_at  timestamptz NOT NULL
);

-- Purpose: have whoever adds, replaces or retires followers of one name do so one after the other.
-- Result: none. Held to the end of the transaction, so that it works through a pooler, too.
CREATE FUNCTION reading.lock_v1(kind text, domain text, name text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(concat_ws(E'\x1f', 'reading', kind, domain, name), 0))
$$;

-- Purpose: keep the followers of a name from moving, to the end of the transaction. Result: their rows.
CREATE FUNCTION reading.held_v1(kind text, domain text, name text) RETURNS SETOF reading.followers
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    SELECT f.* FROM reading.followers f WHERE f.kind = $1 AND f.domain = $2 AND f.name = $3
    ORDER BY f.is_current DESC
    FOR NO KEY UPDATE
$$;

-- Purpose: add a follower, which begins at the log's start.
-- Parameters: as the columns. Result: its id.
CREATE FUNCTION reading.add_v1(kind text, domain text, name text, version integer, layout bytea, is_current boolean)
    RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    INSERT INTO reading.followers (kind, domain, name, version, layout, is_current, paused_at)
    SELECT $1, $2, $3, $4, $5, $6,
        (SELECT max(f.paused_at) FROM reading.followers f WHERE f.kind = $1 AND f.domain = $2 AND f.name = $3)
    RETURNING follower_id
$$;

-- Purpose: take a follower away. Result: none. That its tables are to go is noted.
CREATE FUNCTION reading.retire_v1(follower_id bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    WITH gone AS (DELETE FROM reading.followers f WHERE f.follower_id = $1 RETURNING f.follower_id)
    INSERT INTO reading.retired SELECT gone.follower_id, clock_timestamp() FROM gone
$$;

-- Purpose: have the next one of a name take the place of the current one, which is retired by the caller before.
-- Result: true, or null where the fence is not the newest.
CREATE FUNCTION reading.promote_v1(follower_id bigint, fence bigint) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    UPDATE reading.followers f SET is_current = true WHERE f.follower_id = $1 AND f.fence = $2 RETURNING true
$$;

-- Purpose: note that a retired follower's tables are gone. Result: none.
CREATE FUNCTION reading.forget_v1(follower_id bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    DELETE FROM reading.retired r WHERE r.follower_id = $1
$$;

-- Purpose: take the lease of a follower that has none, by this server's clock.
-- Parameters: the follower; who takes it; for how many seconds. Result: the fence, or null where somebody has it.
CREATE FUNCTION reading.take_v1(follower_id bigint, owner text, seconds double precision) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    UPDATE reading.followers f
    SET owner = $2, fence = f.fence + 1, leased_until = clock_timestamp() + make_interval(secs => $3)
    WHERE f.follower_id = (
        -- One that is locked is in a batch, or was frozen in one, which the server ends.
        SELECT g.follower_id FROM reading.followers g
        WHERE g.follower_id = $1 AND g.leased_until <= clock_timestamp()
        FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING f.fence
$$;

-- Purpose: keep leases. Parameters: the followers, the fence of each, for how many seconds.
-- Result: the followers that are still the caller's. One whose row is locked is in a batch, which keeps it itself: it
-- is among them, if its fence was the caller's before.
CREATE FUNCTION reading.renew_v1(follower_ids bigint[], fences bigint[], seconds double precision)
    RETURNS TABLE (follower_id bigint)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    WITH held AS (
        SELECT f.follower_id FROM reading.followers f
        JOIN unnest($1, $2) AS h (follower_id, fence) ON f.follower_id = h.follower_id AND f.fence = h.fence
    ), free AS MATERIALIZED (
        SELECT f.follower_id FROM reading.followers f
        JOIN unnest($1, $2) AS h (follower_id, fence) ON f.follower_id = h.follower_id AND f.fence = h.fence
        FOR NO KEY UPDATE OF f SKIP LOCKED
    ), renewed AS (
        UPDATE reading.followers f SET leased_until = clock_timestamp() + make_interval(secs => $3)
        FROM free WHERE f.follower_id = free.follower_id
        RETURNING f.follower_id
    )
    SELECT held.follower_id FROM held
$$;

-- Purpose: give a lease back. Result: none.
CREATE FUNCTION reading.release_v1(follower_id bigint, fence bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    UPDATE reading.followers f SET owner = NULL, leased_until = '-infinity'
    WHERE f.follower_id = $1 AND f.fence = $2
$$;

-- Purpose: move a checkpoint, as the first statement of the transaction that holds what is derived from the events up to
-- there. The row stays locked to its end: nobody takes the lease meanwhile, and it is kept for as long again.
-- Parameters: the follower, the fence; the position to leave and that to come to; the head; for how many seconds.
-- Result: true, or null where the lease is somebody else's by now, or the checkpoint is another one.
CREATE FUNCTION reading.advance_v1(
    follower_id bigint, fence bigint, before bigint, number bigint, token bigint, head bigint, seconds double precision
) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    UPDATE reading.followers f
    SET number = $4, token = $5, head = $6, moved_at = clock_timestamp(),
        failed_number = NULL, failed_type = NULL, error = NULL, trace = NULL, failed_at = NULL,
        leased_until = clock_timestamp() + make_interval(secs => $7)
    WHERE f.follower_id = $1 AND f.fence = $2 AND f.number = $3 AND f.paused_at IS NULL
    RETURNING true
$$;

-- Purpose: note the event that stops a follower, or with null in its place that nothing does any more.
-- Result: true, or null where the fence is not the newest.
CREATE FUNCTION reading.fail_v1(
    follower_id bigint, fence bigint, failed_number bigint, failed_type text, error text, trace text
) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    UPDATE reading.followers f
    SET failed_number = $3, failed_type = $4, error = $5, trace = $6,
        failed_at = CASE WHEN $3 IS NOT NULL THEN clock_timestamp() END
    WHERE f.follower_id = $1 AND f.fence = $2
    RETURNING true
$$;

-- Purpose: note that the log was rewritten behind a follower. Result: true, or null where the fence is not the newest.
CREATE FUNCTION reading.diverge_v1(follower_id bigint, fence bigint) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    UPDATE reading.followers f SET diverged_at = clock_timestamp()
    WHERE f.follower_id = $1 AND f.fence = $2
    RETURNING true
$$;

-- Purpose: pause all followers of a name, or let them go on, and try the event again that stopped one.
-- Result: how many there are.
CREATE FUNCTION reading.pause_v1(kind text, domain text, name text, paused boolean) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    WITH changed AS (
        UPDATE reading.followers f
        SET paused_at = CASE WHEN $4 THEN coalesce(f.paused_at, clock_timestamp()) END,
            failed_number = CASE WHEN $4 THEN f.failed_number END, failed_type = CASE WHEN $4 THEN f.failed_type END,
            error = CASE WHEN $4 THEN f.error END, trace = CASE WHEN $4 THEN f.trace END,
            failed_at = CASE WHEN $4 THEN f.failed_at END
        WHERE f.kind = $1 AND f.domain = $2 AND f.name = $3
        RETURNING 1
    )
    SELECT count(*) FROM changed
$$;

-- Purpose: leave out the event that stopped a follower, and write down who wanted that, and why.
-- Result: true, or null where it is not this event that stops it.
CREATE FUNCTION reading.skip_v1(follower_id bigint, failed_number bigint, skipped_by text, reason text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    WITH stopped AS MATERIALIZED (
        SELECT f.* FROM reading.followers f WHERE f.follower_id = $1 AND f.failed_number = $2 FOR NO KEY UPDATE
    ), noted AS (
        INSERT INTO reading.skipped
        SELECT s.kind, s.domain, s.name, s.version, s.failed_number, s.failed_type, s.error, $4, $3, clock_timestamp()
        FROM stopped s
        ON CONFLICT DO NOTHING
    )
    UPDATE reading.followers f
    SET failed_number = NULL, failed_type = NULL, error = NULL, trace = NULL, failed_at = NULL
    FROM stopped s WHERE f.follower_id = s.follower_id
    RETURNING true
$$;

-- Purpose: tell how far readers may rely on what they read.
-- Result: one row, the checkpoint of the current follower of a name; none where there is none. What was derived from a
-- history that was rewritten is of no position.
CREATE FUNCTION reading.position_v1(kind text, domain text, name text) RETURNS TABLE (number bigint, token bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    SELECT CASE WHEN f.diverged_at IS NULL THEN f.number ELSE 0 END,
        CASE WHEN f.diverged_at IS NULL THEN f.token ELSE 0 END
    FROM reading.followers f
    WHERE f.kind = $1 AND f.domain = $2 AND f.name = $3 AND f.is_current
$$;

-- Purpose: make a schema for a projection's tables, or for what readers of a domain read, if there is none.
-- Parameters: its name. Result: who owns it.
-- The schema belongs to the role of projections, whose members make and drop the tables in it.
CREATE FUNCTION reading.make_schema_v1(name text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
BEGIN
    IF name !~ '^(projection_[0-9]+|read_[a-z0-9_]+)$' THEN
        RAISE EXCEPTION 'the name % is for no schema of a projection', name USING ERRCODE = '42501';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = name) THEN
        EXECUTE format('CREATE SCHEMA %I AUTHORIZATION eventstore_projections', name);
    END IF;
    RETURN (SELECT pg_catalog.pg_get_userbyid(n.nspowner) FROM pg_catalog.pg_namespace n WHERE n.nspname = name);
END
$$;

-- Readers are told how far they may rely on what they read, and nothing else.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA reading FROM PUBLIC;
GRANT USAGE ON SCHEMA reading TO PUBLIC;
GRANT EXECUTE ON FUNCTION reading.position_v1 TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA reading TO eventstore_projections;
GRANT SELECT ON ALL TABLES IN SCHEMA reading TO eventstore_projections;
