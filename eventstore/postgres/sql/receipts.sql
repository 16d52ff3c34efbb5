-- Purpose: look up the receipts of several appends of one scope.
-- Parameters: $1 uuid[], their keys; $2 text, the scope.
-- Result: one row for each receipt found, in no particular order. A receipt without a scope, as earlier releases wrote it,
-- is found if it names the scope as its domain; then the scope has no other receipt of its key.
SELECT key, scope, outcome, reason, details::text, first_number, last_number, position, position_token, recorded_at, digest
FROM eventstore.receipts r
WHERE r.key = ANY ($1::uuid[]) AND (r.scope = $2 OR r.scope = '' AND r.details ->> 'domain' = $2)
