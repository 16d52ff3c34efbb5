-- Purpose: read the events of an adopted table, in order. Run on the table's server, within COPY.
-- Parameters: none can be bound within COPY. source_table stands for the table's name as source_columns.sql returns it, and
-- above_number for a whole number: only events above it are read.
-- Result: one row for each event, a JSON object with the fields of a record in a file of events.
SELECT jsonb_build_object(
    'sequence_number', s.sequence_number::bigint, 'type', s.event_type::text, 'occurred_at', s.occurred_at::timestamptz,
    'payload', s.payload::jsonb, 'metadata', s.metadata::jsonb
)
FROM source_table s
WHERE s.sequence_number > above_number
ORDER BY s.sequence_number
