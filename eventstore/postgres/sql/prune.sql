-- Purpose: delete the old receipts in a range of the table's pages.
-- Parameters: $1 tid, $2 tid   the start of the range, inclusive, and its end, exclusive; $3 timestamptz, the moment.
-- Result: one row: how many receipts were deleted.
-- Plan: a TID range scan. By age or by key, each batch would read again what earlier batches left.
WITH deleted AS (
    DELETE FROM eventstore.receipts r
    WHERE r.ctid >= $1::tid AND r.ctid < $2::tid AND r.recorded_at < $3::timestamptz
    RETURNING 1
)
SELECT count(*) AS deleted FROM deleted
