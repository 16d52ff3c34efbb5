-- Purpose: see from which moment on every receipt is still there.
-- Parameters: none.
-- Result: one row, the moment, or none when no receipt was ever deleted.
SELECT receipts_before FROM eventstore.pruning
