-- Purpose: have autovacuum come to the log once in a million events, and freeze them then.
-- Run by: the migration, as the owner of the schema, inside its transaction.

-- An event never changes, so its row can be frozen at the first vacuum. Otherwise a later vacuum, which the server forces on
-- the whole table to keep transaction numbers from wrapping around, writes every page of it once more. Each vacuum reads the
-- whole index on payloads. By the server's own settings a small log is vacuumed too often, and from PostgreSQL 18 on a frozen
-- one after each thousand events. What an operator has set stays as it is. Further partitions take after the one before.
DO $$
DECLARE
    line record;
BEGIN
    FOR line IN
        SELECT c.oid::regclass AS log, string_agg(format('%s = %s', w.option, w.value), ', ') AS settings
        FROM pg_class c
        CROSS JOIN (VALUES
            ('autovacuum_freeze_min_age', 0),
            ('autovacuum_vacuum_insert_threshold', 1000000),
            ('autovacuum_vacuum_insert_scale_factor', 0)
        ) AS w (option, value)
        WHERE (
            c.oid = 'eventstore.events'::regclass AND c.relkind = 'r'
            OR c.oid IN (SELECT p.oid FROM eventstore.partitions p)
        ) AND NOT EXISTS (SELECT FROM unnest(c.reloptions) AS o (option) WHERE split_part(o.option, '=', 1) = w.option)
        GROUP BY c.oid
    LOOP
        EXECUTE format('ALTER TABLE %s SET (%s)', line.log, line.settings);
    END LOOP;
END
$$;
