-- Purpose: drop the oldest partition, by eventstore.move_out_v1.
-- Parameters: $1 bigint, its first number; $2 bigint and $3 text, the number of events in its file, and their checksum; $4
-- text, the directory of the file.
-- Result: one row without content.
SELECT eventstore.move_out_v1($1, $2, $3::text::numeric, $4)
