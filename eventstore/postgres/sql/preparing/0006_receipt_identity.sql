-- Purpose: build the index by which a receipt is told from others, while appends go on: over 100 million receipts that
-- takes minutes, in which a lock on the table would stop every append.
-- Run by: the migration, as the owner of the schema, before its transaction, one statement after the other.

-- Whatever an attempt has left that was broken off. Such an index is kept up, and never becomes valid.
DROP INDEX CONCURRENTLY IF EXISTS eventstore.receipts_key_scope;

-- It waits for transactions that are older than it, such as a dump; nobody waits for it meanwhile.
CREATE UNIQUE INDEX CONCURRENTLY receipts_key_scope ON eventstore.receipts (key, scope);
