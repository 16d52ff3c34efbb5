-- Purpose: look up the receipts of one key in all scopes.
-- Parameters: $1 uuid, the key.
-- Result: its receipts, ordered by scope.
SELECT key, scope, outcome, reason, details::text, first_number, last_number, position, position_token, recorded_at
FROM eventstore.receipts
WHERE key = $1
ORDER BY scope
