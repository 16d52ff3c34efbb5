-- Purpose: have a batch of few conditions expand only those events of the tail that hold one of the values it looks for.
-- Run by: the migration, as the owner of the schema, inside its transaction.

-- To expand an event's fields, and to join them, costs as much as to ask it for a dozen values one by one. What an append
-- of many events meets is a long tail and few conditions. The verdicts stay, and so do the name and the parameters.
DO $$
DECLARE
    found     CONSTANT text := pg_get_functiondef('eventstore.append_v3'::regproc);
    wanted    CONSTANT text := replace(replace(replace(found,
        $text$
    unseen     int8multirange;
$text$, $text$
    unseen     int8multirange;
    -- The values that an event must hold one of, if they are few; null if they are many, or an event of some type matches
    -- whatever it holds.
    sought     jsonb[];
$text$),
        $text$
    IF NOT isempty(unseen) THEN
$text$, $text$
    IF NOT isempty(unseen) THEN
        IF cardinality(predicates) <= 12 AND array_position(predicates, NULL) IS NULL THEN
            sought := predicates::jsonb[];
        END IF;
$text$),
        $text$ FROM unnest(unseen) AS s (span)
                ))
$text$, $text$ FROM unnest(unseen) AS s (span)
                )) AND (sought IS NULL OR e.payload @> ANY (sought))
$text$);
BEGIN
    IF strpos(wanted, 'sought     jsonb[]') = 0 OR strpos(wanted, 'sought := ') = 0 OR strpos(wanted, 'ANY (sought)') = 0 THEN
        RAISE EXCEPTION 'append_v3 looks for conflicts in a way that this migration does not know';
    END IF;
    EXECUTE wanted;
END
$$;
