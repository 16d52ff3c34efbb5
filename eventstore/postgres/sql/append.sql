-- Purpose: send one batch of append requests.
-- Parameters: $1 to $17, as eventstore.append_v3 describes them.
-- Result: one row a request, in order.
SELECT *
FROM eventstore.append_v3($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
