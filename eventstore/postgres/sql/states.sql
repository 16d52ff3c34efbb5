-- Purpose: look up stored states.
-- Parameters: $1 bytea[], the digests of their keys.
-- Result: one row for each state found, in no particular order.
SELECT s.digest, s.position, s.token, s.state, s.events, s.written_at
FROM eventstore.states s
WHERE s.digest = ANY ($1::bytea[])
