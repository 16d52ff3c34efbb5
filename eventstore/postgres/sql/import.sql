-- Purpose: record the next chunk of an import, by the function in migrations/0009_imports.sql.
-- Parameters: $1 to $9, as that function describes them; names, times and JSON as text.
-- Result: one row: the numbers of the chunk's first and last event.
SELECT first_number, last_number
FROM eventstore.import_v1($1, $2, $3, $4, $5, $6::text::text[], $7::text::timestamptz[], $8::text::jsonb[],
    $9::text::jsonb[])
