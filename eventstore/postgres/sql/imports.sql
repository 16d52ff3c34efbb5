-- Purpose: see what was imported.
-- Parameters: none.
-- Result: a row an import: its kind and name, how many records are recorded, their digest, the source's number of the last,
-- and the numbers that their events lie between.
SELECT kind, name, records, digest, source_number, first_number, last_number
FROM eventstore.imports
ORDER BY started_at, kind, name
