-- Purpose: set the store's settings in a session that another program lends, and return its former ones.
-- Parameters: $1 text[], the settings; $2 text[], their values.
-- Result: one row for each changed setting, with its name and its former value. Settings that the server does not know are
-- left out. The other columns are samples of the types of all other results, which show how the session decodes them.
SELECT s.name, current_setting(s.name) AS before, set_config(s.name, s.value, false) AS now,
    '00000000-0000-0000-0000-000000000001'::uuid AS uuid, timestamptz '2000-01-01 00:00:00+00' AS timestamptz,
    1::bigint AS int8, 1 AS int4, 'a'::text AS text, 'a'::bytea AS bytea, true AS bool
FROM unnest($1::text[], $2::text[]) AS s (name, value)
WHERE current_setting(s.name, true) <> s.value
