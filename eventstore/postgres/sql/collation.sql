-- Purpose: return the present version of the collation of a database on its server. From PostgreSQL 15 on.
-- Parameters: none.
-- Result: one row, null if the collation has no version.
SELECT pg_database_collation_actual_version(d.oid) AS version FROM pg_database d WHERE d.datname = current_database()
