-- Purpose: count what a pruning of the receipts would delete, and the pages that it has to read.
-- Parameters: $1 interval, how old a receipt must be.
-- Result: one row: the moment, the receipts that were recorded before it, all receipts, and the table's pages.
-- Plan: a scan of the whole table; it runs for an administrator, and no append waits for it.
SELECT m.moment,
    count(r.*) FILTER (WHERE r.recorded_at < m.moment) AS old,
    count(r.*) AS total,
    pg_relation_size('eventstore.receipts') / current_setting('block_size')::bigint AS pages
FROM (SELECT clock_timestamp() - $1::interval AS moment) m
LEFT JOIN eventstore.receipts r ON true
GROUP BY m.moment
