-- Purpose: keep receipts by scope and key, beside builds that know only the key.
-- Run by: the migration, as the owner of the schema, inside its transaction, once preparing/0006_receipt_identity.sql has
-- built the index.

-- Neither reads the table: both columns are not null, and the index is there. One index answers for a key, with or without
-- its scope; a second table of receipts for each scope would have every append look twice, for ever.
ALTER TABLE eventstore.receipts
    DROP CONSTRAINT receipts_pkey,
    ADD CONSTRAINT receipts_pkey PRIMARY KEY USING INDEX receipts_key_scope;

-- Purpose: find the receipt that answers a request of a build that keeps its own without a scope.
-- Parameters: the request's key, the domain that its details name, or null, and its digest.
-- Result: one receipt or none: the one in the domain's scope; of a request that names no domain, one with its digest; else
-- the one without a scope.
CREATE FUNCTION eventstore.older_receipt(key uuid, domain text, digest bytea) RETURNS SETOF eventstore.receipts
    LANGUAGE sql STABLE
AS $$
    SELECT r.*
    FROM eventstore.receipts r
    WHERE r.key = $1 AND (r.scope = '' OR CASE WHEN $2 IS NULL THEN r.digest = $3 ELSE r.scope = $2 END)
    ORDER BY r.scope = '', r.scope
    LIMIT 1
$$;

REVOKE ALL ON FUNCTION eventstore.older_receipt FROM PUBLIC;

-- Older builds find what builds with scopes have recorded: a command that one worker has decided may come again to another
-- while both are at work. Everything else of their functions stays. append_v1 is done with where 0003 is finished.
DO $$
DECLARE
    function record;
BEGIN
    FOR function IN
        SELECT p.proname AS name, replace(replace(
            pg_get_functiondef(p.oid),
            'LEFT JOIN eventstore.receipts r ON v.verdict = ''duplicate'' AND r.key = keys[v.member]',
            'LEFT JOIN LATERAL eventstore.older_receipt('
                'keys[v.member], detail_objects[v.member] ->> ''domain'', digests[v.member]'
                ') r ON v.verdict = ''duplicate'''
        ),
            'JOIN eventstore.receipts r ON r.key = k.key',
            format(
                'JOIN LATERAL eventstore.older_receipt(k.key, %s, digests[k.member]) r ON true',
                CASE p.proname WHEN 'append_v1' THEN 'detail_objects[k.member] ->> ''domain'''
                    ELSE 'receipts[k.member] -> ''details'' ->> ''domain''' END
            )
        ) AS definition
        FROM pg_proc p
        WHERE p.pronamespace = 'eventstore'::regnamespace AND p.proname IN ('append_v1', 'append_v2')
    LOOP
        IF strpos(function.definition, 'JOIN eventstore.receipts') > 0 THEN
            RAISE EXCEPTION '% looks for receipts in a way that this migration does not know', function.name;
        END IF;
        EXECUTE function.definition;
    END LOOP;
END
$$;
