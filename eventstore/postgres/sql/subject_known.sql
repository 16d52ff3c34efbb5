-- Purpose: look up what forgetting a subject would do.
-- Parameters: $1 text, the field that names the subject; $2 text, its value.
-- Result: one row: when its key was created, null without one; how many stored states would be deleted with it; the number
-- of the last event that records an earlier forgetting, null without one; and the last number of an archived range that may
-- have such an event, null if none may.
WITH forgotten AS MATERIALIZED (
    SELECT e.sequence_number FROM eventstore.events e
    WHERE e.event_type = 'SubjectForgotten' AND e.payload @> jsonb_build_object('SubjectField', $1::text, 'Subject', $2::text)
)
SELECT
    (SELECT k.made_at FROM eventstore.subject_keys k WHERE k.field = $1 AND k.subject = $2) AS made_at,
    (SELECT count(*) FROM eventstore.states s WHERE s.sensitive) AS states,
    (SELECT max(f.sequence_number) FROM forgotten f) AS before,
    (
        SELECT max(a.token)
        FROM eventstore.archived_v1(
            ARRAY[to_jsonb(ARRAY['SubjectForgotten'])],
            ARRAY[jsonb_build_object('SubjectField', $1::text, 'Subject', $2::text)], ARRAY[0::bigint], NULL, NULL, NULL, NULL
        ) a
    ) AS archived
