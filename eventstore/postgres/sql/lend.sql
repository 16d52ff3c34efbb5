-- Purpose: set the store's settings in a session that another program lends, and return its former ones.
-- Parameters: $1 text[], the settings; $2 text[], their values.
-- Result: one row for each changed setting, with its name and its former value. Settings that the server does not know are
-- left out.
SELECT s.name, current_setting(s.name) AS before, set_config(s.name, s.value, false) AS now
FROM unnest($1::text[], $2::text[]) AS s (name, value)
WHERE current_setting(s.name, true) <> s.value
