-- Purpose: look up what became of one key, whosever it is.
-- Parameters: $1 uuid, the key.
-- Result: its receipts, in the order of their scopes.
SELECT key, scope, outcome, reason, details::text, first_number, last_number, position, position_token, recorded_at
FROM eventstore.receipts
WHERE key = $1
ORDER BY scope
