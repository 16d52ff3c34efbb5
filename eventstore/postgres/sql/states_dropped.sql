-- Purpose: delete stored states.
-- Parameters: as of states_listed.sql.
-- Result: one row: how many were deleted.
WITH dropped AS (
    DELETE FROM eventstore.states s
    WHERE ($1::text IS NULL OR s.domain = $1) AND ($2::text IS NULL OR s.view = $2)
        AND ($3::integer IS NULL OR s.version = $3)
    RETURNING 1
)
SELECT count(*) AS dropped FROM dropped
