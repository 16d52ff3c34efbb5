-- Purpose: read a page of all receipts, in the order of their keys.
-- Parameters: $1 uuid, the last key of the page before, or null; $2 bigint, the size of a page.
-- Result: up to $2 rows.
-- Plan: the primary key from $1 on. As "$1 is null or key > $1" every page would walk all pages before it.
SELECT key, outcome, reason, details, first_number, last_number, position, position_token, recorded_at
FROM eventstore.receipts
WHERE key >= coalesce($1::uuid, '00000000-0000-0000-0000-000000000000') AND key IS DISTINCT FROM $1
ORDER BY key
LIMIT $2
