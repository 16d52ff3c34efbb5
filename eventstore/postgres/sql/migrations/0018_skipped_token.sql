-- Purpose: know a skipped event by its token, too: after the log was rewritten, another event may have its number.
-- Run by: the migration, as the owner of the schema, inside its transaction.

-- Of the event that stopped a follower; null if an older build noted it, or no event did.
ALTER TABLE reading.followers ADD COLUMN failed_token bigint;
-- Null if an older build noted the event: then its number must do.
ALTER TABLE reading.skipped ADD COLUMN token bigint;

-- Purpose: note the event that stops a follower, or with null in its place that nothing does any more.
-- Parameters: as fail_v1, and the event's token. Result: true, or null where the fence is not the newest.
CREATE FUNCTION reading.fail_v2(
    follower_id bigint, fence bigint, failed_number bigint, failed_token bigint, failed_type text, error text, trace text
) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    UPDATE reading.followers f
    SET failed_number = $3, failed_token = $4, failed_type = $5, error = $6, trace = $7,
        failed_at = CASE WHEN $3 IS NOT NULL THEN clock_timestamp() END
    WHERE f.follower_id = $1 AND f.fence = $2
    RETURNING true
$$;

-- Purpose: as before, for builds that do not know of the token.
CREATE OR REPLACE FUNCTION reading.fail_v1(
    follower_id bigint, fence bigint, failed_number bigint, failed_type text, error text, trace text
) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS 'SELECT reading.fail_v2($1, $2, $3, NULL, $4, $5, $6)';

-- Purpose: leave out the event that stopped a follower, and write down who wanted that, and why.
-- Result: true, or null where it is not this event that stops it. What was written down of another event with this
-- number, of a history that is gone, gives way.
CREATE OR REPLACE FUNCTION reading.skip_v1(follower_id bigint, failed_number bigint, skipped_by text, reason text)
    RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path = reading, pg_temp
AS $$
    WITH stopped AS MATERIALIZED (
        SELECT f.* FROM reading.followers f WHERE f.follower_id = $1 AND f.failed_number = $2 FOR NO KEY UPDATE
    ), noted AS (
        INSERT INTO reading.skipped AS k (
            kind, domain, name, version, number, event_type, error, reason, skipped_by, skipped_at, token
        )
        SELECT s.kind, s.domain, s.name, s.version, s.failed_number, s.failed_type, s.error, $4, $3, clock_timestamp(),
            s.failed_token
        FROM stopped s
        ON CONFLICT (kind, domain, name, version, number) DO UPDATE
        SET event_type = EXCLUDED.event_type, error = EXCLUDED.error, reason = EXCLUDED.reason,
            skipped_by = EXCLUDED.skipped_by, skipped_at = EXCLUDED.skipped_at, token = EXCLUDED.token
        WHERE k.token IS DISTINCT FROM EXCLUDED.token
    )
    UPDATE reading.followers f
    SET failed_number = NULL, failed_token = NULL, failed_type = NULL, error = NULL, trace = NULL, failed_at = NULL
    FROM stopped s WHERE f.follower_id = s.follower_id
    RETURNING true
$$;

REVOKE ALL ON FUNCTION reading.fail_v2 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reading.fail_v2 TO eventstore_projections;
