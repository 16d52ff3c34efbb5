-- Purpose: look up what became of several appends of one scope.
-- Parameters: $1 uuid[], their keys; $2 text, the scope.
-- Result: a row for each that has a receipt, in no order. One from before there were scopes is found if it names the scope as
-- its domain; of such a key there is no other in the scope.
SELECT key, scope, outcome, reason, details::text, first_number, last_number, position, position_token, recorded_at, digest
FROM eventstore.receipts r
WHERE r.key = ANY ($1::uuid[]) AND (r.scope = $2 OR r.scope = '' AND r.details ->> 'domain' = $2)
