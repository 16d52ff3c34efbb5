"""All that knows the broker's library."""
