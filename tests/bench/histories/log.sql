-- Purpose: fill an empty log with orders of products: ten of "small", 20,000 of "large", 30,000 of "huge", and of every
-- other product ten.
-- Parameters: $1 integer, the number of events, at least 100,000; $2 jsonb, their metadata.
-- Result: none.
INSERT INTO eventstore.events (sequence_number, token, event_type, occurred_at, payload, metadata)
SELECT n, 1, CASE WHEN n <= 3 THEN 'Stocked' ELSE 'OrderPlaced' END, now(),
    CASE WHEN n <= 3 THEN jsonb_build_object('product', (ARRAY['small', 'large', 'huge'])[n], 'pieces', 1000000)
    ELSE jsonb_build_object('order', 'order-' || n, 'product', CASE
        WHEN n <= 13 THEN 'small'
        -- Scattered over the log, as in practice.
        WHEN n % ($1 / 50000) = 0 AND (n / ($1 / 50000)) % 5 < 2 THEN 'large'
        WHEN n % ($1 / 50000) = 0 THEN 'huge'
        ELSE 'product-' || n / 10 END)
    END,
    $2::jsonb
FROM generate_series(1, $1) AS g (n)
