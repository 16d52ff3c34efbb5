-- Purpose: take away what only builds that call append_v1 need. None is connected any more, and none can start.
-- Run by: `worker db migrate --finish`, as the owner of the schema, inside its transaction, with both tables locked.

DROP TRIGGER events_keep_head ON eventstore.events;
DROP FUNCTION eventstore.keep_head();

-- What is left is a lock. Nothing changes it, so that no old snapshot can make it slow.
ALTER TABLE eventstore.store DROP COLUMN head, DROP COLUMN token, DROP COLUMN schema_version;
ALTER TABLE eventstore.store RESET (fillfactor, autovacuum_vacuum_threshold);

-- 55000, not in the state that it needs: a worker that gets it pauses, and loses nothing.
CREATE OR REPLACE FUNCTION eventstore.append_v1(
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
AS $$
BEGIN
    RAISE EXCEPTION 'this build is older than the database: start one that calls append_v2' USING ERRCODE = '55000';
END
$$;
