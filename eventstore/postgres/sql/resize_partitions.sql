-- Purpose: set how many numbers each further partition takes.
-- Parameters: $1 bigint, how many.
-- Result: none.
UPDATE eventstore.partitioning SET size = $1 WHERE size <> $1
