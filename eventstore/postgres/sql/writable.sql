-- Purpose: check whether a server accepts writes. It runs for each connection: an earlier answer may be outdated.
-- Parameters: none.
-- Result: one row. A standby accepts none, nor does a server with default_transaction_read_only.
SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::boolean AS writable
