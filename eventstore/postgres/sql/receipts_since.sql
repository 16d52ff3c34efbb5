-- Purpose: look up the moment since which every receipt is kept.
-- Parameters: none.
-- Result: one row, the moment; none if no receipt was ever deleted.
SELECT receipts_before FROM eventstore.pruning
