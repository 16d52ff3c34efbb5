-- Purpose: insert events into the table of restore_begin.sql, by eventstore.restore_rows_v1.
-- Parameters: $1 bigint, the range's first number; then arrays with one element for each event, those of texts and times as
-- text: $2 the numbers, $3 the tokens, $4 the types, $5 microseconds since 1970, $6 the payloads, $7 the metadata.
-- Result: one row without content.
SELECT eventstore.restore_rows_v1($1, $2::bigint[], $3::bigint[], $4::text::text[], $5::bigint[], $6::text::jsonb[], $7::text::jsonb[])
