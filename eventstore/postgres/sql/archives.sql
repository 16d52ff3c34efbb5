-- Purpose: list the archived ranges, the highest first.
-- Parameters: none.
-- Result: one row for each archived range.
SELECT a.first_number, a.last_number, a.events, a.checksum::text AS checksum, a.since, a.until, a.place, a.archived_at
FROM eventstore.archives a
WHERE a.archived_at IS NOT NULL
ORDER BY a.first_number DESC
