-- Purpose: record, before the first deletion, that the receipts from before a moment are no longer complete.
-- Parameters: $1 timestamptz, the moment.
-- Result: none. The recorded moment never moves back.
INSERT INTO eventstore.pruning (receipts_before) VALUES ($1)
ON CONFLICT (singleton) DO UPDATE SET receipts_before = greatest(pruning.receipts_before, excluded.receipts_before)
