-- Purpose: check whether an append that repeats another one's key would get its receipt, or an error that the key is
-- reused.
-- Parameters: $1 uuid, the append's key; $2 text, the key's scope; $3 bytea, the append's digest.
-- Result: one row for each receipt that append_v3 would find for it.
SELECT true AS answered
FROM eventstore.receipts r
WHERE r.key = $1 AND (r.scope = $2 OR r.scope = '' AND coalesce(r.details ->> 'domain' = $2, r.digest = $3))
