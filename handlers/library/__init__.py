"""handlers/library."""
