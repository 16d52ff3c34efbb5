-- Purpose: have a session that another program lends set what the store's sessions set, and tell what it was before.
-- Parameters: $1 text[], the settings; $2 text[], their values.
-- Result: a row for each that was changed, with its name and its former value. A server knows only some of them.
SELECT s.name, current_setting(s.name) AS before, set_config(s.name, s.value, false) AS now
FROM unnest($1::text[], $2::text[]) AS s (name, value)
WHERE current_setting(s.name, true) <> s.value
