-- Purpose: refuse the change of an event also where no statement changes it: a subscription applies row by row.
-- Run by: the migration, as the owner of the schema, inside its transaction.

CREATE TRIGGER event_is_a_fact
    BEFORE UPDATE OR DELETE ON eventstore.events
    FOR EACH ROW EXECUTE FUNCTION eventstore.refuse_change();
-- Whoever applies changes of others has session_replication_role = replica.
ALTER TABLE eventstore.events ENABLE ALWAYS TRIGGER event_is_a_fact;
