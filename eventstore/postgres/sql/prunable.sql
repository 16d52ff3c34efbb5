-- Purpose: see what a pruning of the receipts would delete, and how far it has to look.
-- Parameters: $1 interval, how old a receipt must be.
-- Result: one row: the moment, the receipts that were recorded before it, all receipts, and the table's pages.
-- Plan: the table from end to end; it is a person's question, and no append waits for the answer.
SELECT m.moment,
    count(r.*) FILTER (WHERE r.recorded_at < m.moment) AS old,
    count(r.*) AS total,
    pg_relation_size('eventstore.receipts') / current_setting('block_size')::bigint AS pages
FROM (SELECT clock_timestamp() - $1::interval AS moment) m
LEFT JOIN eventstore.receipts r ON true
GROUP BY m.moment
