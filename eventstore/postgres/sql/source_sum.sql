-- Purpose: add up the events of an adopted table. Run on the table's server.
-- Parameters: $1 bigint, the number of the last event that counts; source_table stands for the table's name.
-- Result: one row: how many events there are up to that number, their checksum, whatever their order, and how many lie
-- above.
SELECT count(*) FILTER (WHERE s.sequence_number <= $1) AS events,
    coalesce(sum(('x' || encode(substring(sha256(convert_to(jsonb_build_array(
        s.sequence_number::bigint, s.event_type::text, s.occurred_at::timestamptz, s.payload::jsonb,
        coalesce(s.metadata::jsonb, '{}')
    )::text, 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint) FILTER (WHERE s.sequence_number <= $1), 0)::text AS sum,
    count(*) FILTER (WHERE s.sequence_number > $1) AS newer
FROM source_table s
