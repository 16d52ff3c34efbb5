-- Purpose: commit a transaction that waits as any commit does, for instance for a standby, and so for all earlier commits.
-- Parameters: none.
-- Result: one row, whose content has no meaning.
SELECT pg_logical_emit_message(true, 'eventstore', 'confirmed')
