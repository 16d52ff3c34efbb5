-- Purpose: store a state, by the function in migrations/0013_erasure.sql.
-- Parameters: $1 to $11 as that function's.
-- Result: one row without content.
SELECT eventstore.put_state_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
