-- Purpose: delete the old receipts of a range of the table's pages.
-- Parameters: $1 tid, $2 tid   from the one place in the table, and before the other; $3 timestamptz, the moment.
-- Result: one row, how many receipts were deleted.
-- Plan: the range by place (a TID range scan). By age or by key, each batch would look at what those before it left.
WITH deleted AS (
    DELETE FROM eventstore.receipts r
    WHERE r.ctid >= $1::tid AND r.ctid < $2::tid AND r.recorded_at < $3::timestamptz
    RETURNING 1
)
SELECT count(*) AS deleted FROM deleted
