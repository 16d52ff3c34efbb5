-- Purpose: set the head that earlier releases read to the log's, under the lock that every append waits for.
-- Parameters: none.
-- Result: none.
UPDATE eventstore.store s SET head = e.sequence_number, token = e.token
FROM (SELECT e.sequence_number, e.token FROM eventstore.events e ORDER BY e.sequence_number DESC LIMIT 1) e
WHERE s.singleton
