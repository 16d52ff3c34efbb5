-- Purpose: list the imports.
-- Parameters: none.
-- Result: one row for each import: its kind and name, how many records are recorded, their digest, the source's number of
-- the last one, and the first and last number of their events.
SELECT kind, name, records, digest, source_number, first_number, last_number
FROM eventstore.imports
ORDER BY started_at, kind, name
