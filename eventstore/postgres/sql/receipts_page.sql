-- Purpose: read a page of all receipts, ordered by key and scope.
-- Parameters: $1 uuid and $2 text, key and scope of the last receipt of the page before, or null; $3 bigint, the size of a
-- page.
-- Result: up to $3 rows.
-- Plan: the primary key from $1 on. With "$1 is null or key > $1", every page would walk all pages before it.
SELECT key, scope, outcome, reason, details::text, first_number, last_number, position, position_token, recorded_at
FROM eventstore.receipts
WHERE (key, scope) >= (coalesce($1::uuid, '00000000-0000-0000-0000-000000000000'), coalesce($2::text, ''))
    AND (key IS DISTINCT FROM $1 OR scope IS DISTINCT FROM $2)
ORDER BY key, scope
LIMIT $3
