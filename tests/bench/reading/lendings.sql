-- Purpose: fill an empty log with lendings, one after the other.
-- Parameters: $1 integer, how many.
-- Result: none.
INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
SELECT n, n, 'BookCopyLentToReader', now(),
    jsonb_build_object('BookID', 'book-' || n, 'ReaderID', 'reader-' || n % 1000),
    jsonb_build_object('command_id', gen_random_uuid(), 'correlation_id', gen_random_uuid())
FROM generate_series(1, $1) AS g (n)
