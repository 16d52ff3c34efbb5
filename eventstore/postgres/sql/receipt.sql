-- Purpose: look up what became of one append.
-- Parameters: $1 uuid, its key.
-- Result: one row, or none.
SELECT key, outcome, reason, details, first_number, last_number, position, position_token, recorded_at
FROM eventstore.receipts
WHERE key = $1
