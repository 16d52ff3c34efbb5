-- Purpose: ask a server whether it accepts writes. It is asked for each connection: what it told once may have changed.
-- Parameters: none.
-- Result: one row. A server that follows another accepts none; nor does one with default_transaction_read_only.
SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::boolean AS writable
