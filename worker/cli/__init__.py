"""worker/cli."""
