-- Purpose: have a commit wait for whatever a commit waits for, and with it all that was committed before.
-- Parameters: none.
-- Result: one row; nothing of it matters.
SELECT pg_logical_emit_message(true, 'eventstore', 'confirmed')
