-- Purpose: drop the oldest partition, as eventstore.move_out_v1 does.
-- Parameters: $1 bigint, its first number; $2 bigint, $3 text, how many events were found elsewhere, and what they add up
-- to; $4 text, where.
-- Result: one row: nothing.
SELECT eventstore.move_out_v1($1, $2, $3::text::numeric, $4)
