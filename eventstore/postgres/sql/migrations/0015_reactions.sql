-- Purpose: what reactions and relays need besides: what they have sent cannot be unsent when the log is rewritten.
-- Run by: the migration, as the owner of the schema, inside its transaction.

-- The last positions that it had come to, newest first, each as number and token: where the log was rewritten behind
-- it, they tell up to where it is still the same.
ALTER TABLE reading.followers ADD COLUMN trail bigint[] NOT NULL DEFAULT '{}';
-- From which event on the log is another one than what it has followed; null where that is not known, or not so.
ALTER TABLE reading.followers ADD COLUMN diverged_from bigint;

-- Where a person had a reaction or a relay go on, and from where. Nothing is changed or removed.
CREATE TABLE reading.moves (
    kind         text        COLLATE "C" NOT NULL,
    domain       text        COLLATE "C" NOT NULL,
    name         text        COLLATE "C" NOT NULL,
    moved_at     timestamptz NOT NULL,
    moved_by     text        NOT NULL,
    from_number  bigint      NOT NULL,
    from_token   bigint      NOT NULL,
    to_number    bigint      NOT NULL,
    to_token     bigint      NOT NULL,
    -- What the log was rewritten from, if that was why.
    diverged_from bigint
);

CREATE INDEX moves_of ON reading.moves (kind, domain, name, moved_at);

-- Purpose: add a follower that begins at a position of the log.
-- Parameters: as the columns; number, token and head say where it begins. Result: its id.
CREATE FUNCTION reading.add_v2(
    kind text, domain text, name text, version integer, number bigint, token bigint, head bigint
) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    INSERT INTO reading.followers (kind, domain, name, version, layout, is_current, number, token, head, trail)
    VALUES ($1, $2, $3, $4, ''::bytea, true, $5, $6, $7, ARRAY[$5, $6])
    RETURNING follower_id
$$;

-- Purpose: move a checkpoint, as advance_v1 does, and keep the last positions.
-- Parameters: as advance_v1. Result: true, or null where nothing was moved.
CREATE FUNCTION reading.advance_v2(
    follower_id bigint, fence bigint, before bigint, number bigint, token bigint, head bigint, seconds double precision
) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    UPDATE reading.followers f
    SET number = $4, token = $5, head = $6, moved_at = clock_timestamp(),
        failed_number = NULL, failed_type = NULL, error = NULL, trace = NULL, failed_at = NULL,
        leased_until = clock_timestamp() + make_interval(secs => $7),
        -- Of 64 positions. What is sent within some seconds is more than a standby lacks as a rule.
        trail = (ARRAY[$4, $5] || f.trail)[1:128]
    WHERE f.follower_id = $1 AND f.fence = $2 AND f.number = $3 AND f.paused_at IS NULL
    RETURNING true
$$;

-- Purpose: tell whether a process may still act for a follower. Result: true, or null where it may not.
CREATE FUNCTION reading.holds_v1(follower_id bigint, fence bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    SELECT true FROM reading.followers f WHERE f.follower_id = $1 AND f.fence = $2 AND f.paused_at IS NULL
$$;

-- Purpose: stop a follower whose log was rewritten behind it, until a person says where it goes on.
-- Parameters: the follower, the fence; the first event that is another one; what to tell of it.
-- Result: true, or null where the fence is not the newest.
CREATE FUNCTION reading.diverge_v2(follower_id bigint, fence bigint, diverged_from bigint, error text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    UPDATE reading.followers f
    SET diverged_at = clock_timestamp(), diverged_from = $3,
        failed_number = $3, failed_type = '', error = $4, trace = '', failed_at = clock_timestamp()
    WHERE f.follower_id = $1 AND f.fence = $2
    RETURNING true
$$;

-- Purpose: have a follower go on at a position that a person has chosen, whatever stopped or paused it, and write it
-- down. Who has the lease loses it, and looks at the position before anything else is sent.
-- Parameters: the follower; the position behind which it goes on; the head; who wants it.
-- Result: true, or null where there is no such follower.
CREATE FUNCTION reading.move_v1(follower_id bigint, number bigint, token bigint, head bigint, moved_by text)
    RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    WITH before AS MATERIALIZED (
        SELECT f.* FROM reading.followers f WHERE f.follower_id = $1 FOR NO KEY UPDATE
    ), noted AS (
        INSERT INTO reading.moves
        SELECT b.kind, b.domain, b.name, clock_timestamp(), $5, b.number, b.token, $2, $3, b.diverged_from FROM before b
    )
    UPDATE reading.followers f
    SET number = $2, token = $3, head = $4, trail = ARRAY[$2, $3], diverged_at = NULL, diverged_from = NULL,
        failed_number = NULL, failed_type = NULL, error = NULL, trace = NULL, failed_at = NULL, paused_at = NULL,
        owner = NULL, fence = f.fence + 1, leased_until = '-infinity'
    FROM before b WHERE f.follower_id = b.follower_id
    RETURNING true
$$;

REVOKE ALL ON FUNCTION reading.add_v2, reading.advance_v2, reading.holds_v1, reading.diverge_v2, reading.move_v1
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reading.add_v2, reading.advance_v2, reading.holds_v1, reading.diverge_v2, reading.move_v1
    TO eventstore_projections;
GRANT SELECT ON reading.moves TO eventstore_projections;
