-- Purpose: commands that are to be sent later, and those that are not to be sent any more.
-- Run by: the migration, as the owner of the schema, inside its transaction. What follows needs the schema reading.

CREATE SCHEMA schedule;

-- What waits to be sent. A command that was sent is gone: its receipt says what became of it.
CREATE TABLE schedule.commands (
    domain       text        COLLATE "C" NOT NULL,
    command_id   uuid        NOT NULL,
    command_type text        NOT NULL,
    due_at       timestamptz NOT NULL,
    -- When it is tried: at its time, or when it was stored if that is past, or later where it was refused. So whoever
    -- has once seen that nothing was to be sent up to a moment need not look below it again.
    send_at      timestamptz NOT NULL,
    -- Which message of this id it is, so that who sent an earlier one does not take the later one away.
    revision     bigint      NOT NULL DEFAULT 1,
    -- The lease under which it is being sent.
    claimed      bigint,
    -- As they travel over AMQP.
    properties   bytea       NOT NULL,
    body         bytea       NOT NULL,
    received_at  timestamptz NOT NULL,
    -- Why the broker did not take it when its time had come.
    error        text,
    PRIMARY KEY (domain, command_id)
);

CREATE INDEX commands_next ON schedule.commands (domain, send_at);
CREATE INDEX commands_refused ON schedule.commands (domain, due_at) WHERE error IS NOT NULL;

-- Ids that are not to be sent any more. Kept for a while: the message that they forbid may come later.
CREATE TABLE schedule.cancelled (
    domain       text        COLLATE "C" NOT NULL,
    command_id   uuid        NOT NULL,
    cancelled_at timestamptz NOT NULL,
    PRIMARY KEY (domain, command_id)
);

CREATE INDEX cancelled_oldest ON schedule.cancelled (cancelled_at);

-- Purpose: keep the lease of a schedule, to the end of the transaction and so many seconds longer.
-- Parameters: the follower that stands for the schedule; the fence; for how many seconds.
-- Result: true, or null where somebody else has it by now. Whoever writes for the schedule waits until the end: each
-- statement behind this one sees what others have written.
CREATE FUNCTION schedule.keep_v1(follower_id bigint, fence bigint, seconds double precision) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = schedule, pg_temp
AS $$
    UPDATE reading.followers f SET leased_until = clock_timestamp() + make_interval(secs => $3)
    WHERE f.follower_id = $1 AND f.fence = $2
    RETURNING true
$$;

-- Purpose: store commands until their time, each in the place of an earlier message of its id.
-- Parameters: the follower, the fence, the lease's seconds; the domain; by command: id, type, time, properties, body. No
-- id twice.
-- Result: a row for each: stored, cancelled (it was cancelled before) or too_far (more than ten years ahead, by this
-- server's clock). None where the lease is somebody else's: then nothing is stored.
CREATE FUNCTION schedule.put_v1(
    follower_id bigint, fence bigint, seconds double precision, domain text,
    ids uuid[], types text[], times timestamptz[], properties bytea[], bodies bytea[]
) RETURNS TABLE (id uuid, verdict text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = schedule, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz;
BEGIN
    IF schedule.keep_v1($1, $2, $3) IS NULL THEN
        RETURN;
    END IF;
    moment := clock_timestamp();
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT g.*, CASE
            WHEN EXISTS (SELECT FROM schedule.cancelled x WHERE x.domain = $4 AND x.command_id = g.given) THEN 'cancelled'
            WHEN g.due_at > moment + interval '3652 days' THEN 'too_far'
            ELSE 'stored' END AS found
        FROM unnest($5, $6, $7, $8, $9) AS g (given, command_type, due_at, properties, body)
    ), stored AS (
        INSERT INTO schedule.commands AS c (domain, command_id, command_type, due_at, send_at, properties, body, received_at)
        SELECT $4, j.given, j.command_type, j.due_at, greatest(j.due_at, moment), j.properties, j.body, moment
        FROM judged j WHERE j.found = 'stored'
        ON CONFLICT (domain, command_id) DO UPDATE SET
            command_type = excluded.command_type, due_at = excluded.due_at, send_at = excluded.send_at,
            revision = c.revision + 1, claimed = NULL, properties = excluded.properties, body = excluded.body,
            received_at = excluded.received_at, error = NULL
    )
    SELECT j.given, j.found FROM judged j;
END
$$;

-- Purpose: have commands not be sent any more, also those whose message comes later.
-- Parameters: the domain, the ids. Result: a row for each: cancelled, being_sent (too late: it is being sent, or was
-- when the process that did so ended) or unknown (none waits; if one comes, it is not sent).
CREATE FUNCTION schedule.cancel_v1(domain text, ids uuid[]) RETURNS TABLE (id uuid, verdict text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = schedule, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz;
BEGIN
    -- What is stored and taken up for sending meanwhile waits.
    PERFORM FROM reading.followers f WHERE f.kind = 'schedule' AND f.domain = $1 FOR NO KEY UPDATE;
    moment := clock_timestamp();
    DELETE FROM schedule.cancelled WHERE ctid = ANY (ARRAY(
        SELECT x.ctid FROM schedule.cancelled x WHERE x.cancelled_at < moment - interval '30 days'
        ORDER BY x.cancelled_at LIMIT 100
    ));
    RETURN QUERY
    WITH given AS MATERIALIZED (
        SELECT DISTINCT g.given, coalesce(c.claimed IS NOT NULL, false) AS too_late
        FROM unnest($2) AS g (given)
        LEFT JOIN schedule.commands c ON c.domain = $1 AND c.command_id = g.given
    ), noted AS (
        INSERT INTO schedule.cancelled (domain, command_id, cancelled_at)
        SELECT $1, g.given, moment FROM given g WHERE NOT g.too_late
        ON CONFLICT (domain, command_id) DO UPDATE SET cancelled_at = excluded.cancelled_at
    ), gone AS (
        DELETE FROM schedule.commands c USING given g
        WHERE c.domain = $1 AND c.command_id = g.given AND NOT g.too_late
        RETURNING c.command_id
    )
    SELECT g.given, CASE WHEN g.too_late THEN 'being_sent'
        WHEN EXISTS (SELECT FROM gone WHERE gone.command_id = g.given) THEN 'cancelled' ELSE 'unknown' END
    FROM given g;
END
$$;

-- Purpose: take up commands whose time has come by this server's clock, the one that is due longest first.
-- Parameters: the follower, the fence, the lease's seconds; the domain; the moment up to which nothing was to be sent
-- when it was looked at last, or null; how many commands at most, and how many bytes of bodies, beyond which one more is
-- taken. Below that moment lie those that were sent, which nothing clears away while an old snapshot is open.
-- Result: a row for each; none where nothing is due, or the lease is somebody else's. They stay until sent_v1.
CREATE FUNCTION schedule.claim_v1(
    follower_id bigint, fence bigint, seconds double precision, domain text, since timestamptz, most integer,
    most_bytes bigint
) RETURNS TABLE (id uuid, its_revision bigint, its_type text, its_properties bytea, its_body bytea)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = schedule, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz;
BEGIN
    IF schedule.keep_v1($1, $2, $3) IS NULL THEN
        RETURN;
    END IF;
    -- One moment: an index is of no use for a clock that runs.
    moment := clock_timestamp();
    RETURN QUERY
    WITH due AS (
        SELECT d.command_id, sum(octet_length(d.body)) OVER (
            ORDER BY d.send_at, d.command_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) - octet_length(d.body) AS before
        FROM (
            SELECT n.command_id, n.send_at, n.body FROM schedule.commands n
            WHERE n.domain = $4 AND n.send_at > coalesce($5, '-infinity') AND n.send_at <= moment
            ORDER BY n.send_at LIMIT $6
        ) d
    )
    UPDATE schedule.commands c SET claimed = $2
    FROM due WHERE c.domain = $4 AND c.command_id = due.command_id AND due.before < $7
    RETURNING c.command_id, c.revision, c.command_type, c.properties, c.body;
END
$$;

-- Purpose: take away commands that the broker has confirmed. One of which a later message has come meanwhile stays.
-- Parameters: the domain; by command: id, revision. Result: none.
CREATE FUNCTION schedule.sent_v1(domain text, ids uuid[], revisions bigint[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = schedule, pg_temp
AS $$
    DELETE FROM schedule.commands c USING unnest($2, $3) AS g (given, revision)
    WHERE c.domain = $1 AND c.command_id = g.given AND c.revision = g.revision
$$;

-- Purpose: note why the broker did not take commands, and try them again later.
-- Parameters: the domain; by command: id, revision, error; after how many seconds. Result: none.
CREATE FUNCTION schedule.refused_v1(
    domain text, ids uuid[], revisions bigint[], errors text[], seconds double precision
) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = schedule, pg_temp
AS $$
    UPDATE schedule.commands c
    SET error = g.error, claimed = NULL, send_at = clock_timestamp() + make_interval(secs => $5)
    FROM unnest($2, $3, $4) AS g (given, revision, error)
    WHERE c.domain = $1 AND c.command_id = g.given AND c.revision = g.revision
$$;

-- Whoever runs the schedule is of the role of what follows the log: both take their leases in the same way.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA schedule FROM PUBLIC;
GRANT USAGE ON SCHEMA schedule TO eventstore_projections;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA schedule TO eventstore_projections;
GRANT SELECT ON ALL TABLES IN SCHEMA schedule TO eventstore_projections;
