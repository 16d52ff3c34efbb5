-- Purpose: send one batch of appends.
-- Parameters: $1 to $17, as eventstore.append_v3 describes them; arrays of integers, names, times and of the events' JSON
-- as text.
-- Result: one row for each append, in order.
SELECT verdict, part, first_number, last_number, "position", position_token, recorded_at, detail::text
FROM eventstore.append_v3(
    $1, $2::text::text[], $3, $4::text[]::jsonb[], $5::text::integer[], $6::text::bigint[], $7::text::bigint[], $8::text::bigint[],
    $9::text::integer[], $10, $11, $12::text::text[], $13::text::timestamptz[],
    $14::text::jsonb[], $15::text::jsonb[], $16, $17
)
