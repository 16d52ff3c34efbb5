-- Purpose: read a page of all receipts, in the order of their keys.
-- Parameters: $1 uuid, the last key of the page before, or null; $2 bigint, the size of a page.
-- Result: up to $2 rows.
SELECT key, outcome, reason, details, first_number, last_number, position, position_token, recorded_at
FROM eventstore.receipts
WHERE $1::uuid IS NULL OR key > $1
ORDER BY key
LIMIT $2
