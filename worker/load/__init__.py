"""worker/load."""
