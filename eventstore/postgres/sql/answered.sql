-- Purpose: tell whether an append that repeats another one's key would get that one's answer, or be told that it is reused.
-- Parameters: $1 uuid, its key; $2 text, the key's scope; $3 bytea, its digest.
-- Result: a row for each receipt that append_v3 would find for it.
SELECT true AS answered
FROM eventstore.receipts r
WHERE r.key = $1 AND (r.scope = $2 OR r.scope = '' AND coalesce(r.details ->> 'domain' = $2, r.digest = $3))
