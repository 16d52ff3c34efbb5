-- Purpose: list the partitions, oldest first, with the head of the log and the end of the archived range.
-- Parameters: none.
-- Result: one row: the first and the last numbers of the partitions, in order, empty if the log is one table; the head's
-- number; and the last archived number, 0 if there is none.
SELECT
    ARRAY(SELECT p.first_number FROM eventstore.partitions p ORDER BY p.first_number) AS firsts,
    ARRAY(SELECT p.last_number FROM eventstore.partitions p ORDER BY p.first_number) AS lasts,
    coalesce((SELECT h.sequence_number FROM eventstore.head_v2() h), 0) AS head,
    coalesce((SELECT max(a.last_number) FROM eventstore.archives a WHERE a.archived_at IS NOT NULL), 0) AS archived
