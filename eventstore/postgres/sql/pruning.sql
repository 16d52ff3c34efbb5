-- Purpose: note, before the first of them is deleted, that receipts from before a moment are not complete any more.
-- Parameters: $1 timestamptz, the moment.
-- Result: none. What was noted only ever moves forward.
INSERT INTO eventstore.pruning (receipts_before) VALUES ($1)
ON CONFLICT (singleton) DO UPDATE SET receipts_before = greatest(pruning.receipts_before, excluded.receipts_before)
