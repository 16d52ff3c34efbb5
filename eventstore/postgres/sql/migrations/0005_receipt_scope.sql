-- Purpose: say whose key a receipt's is. Two programs, or two domains of one, may give one key to requests of their own.
-- Run by: the migration, as the owner of the schema, inside its transaction.

-- With a constant default no row is written anew. In bytes, so that no change of a server's locales puts it out of order.
-- Empty for whoever names no scope, and so for every receipt from before.
ALTER TABLE eventstore.receipts ADD COLUMN scope text COLLATE "C" NOT NULL DEFAULT '';
