-- Purpose: check whether a table has events that can be adopted. Run on the table's server.
-- Parameters: $1 text, the table, as it is written in SQL.
-- Result: one row: the table's name, quoted where needed, or null; and the types of its columns by name.
SELECT to_regclass($1)::text AS name, coalesce((
    SELECT jsonb_object_agg(a.attname, format_type(a.atttypid, NULL))
    FROM pg_attribute a
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
), '{}') AS columns
