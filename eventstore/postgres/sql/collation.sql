-- Purpose: see which version of its collations a database's server has now. From PostgreSQL 15 on.
-- Parameters: none.
-- Result: one row, null where it has none.
SELECT pg_database_collation_actual_version(d.oid) AS version FROM pg_database d WHERE d.datname = current_database()
