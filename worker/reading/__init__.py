"""The read side: what follows the log under a lease, and keeps how far it has come beside what it derives."""
