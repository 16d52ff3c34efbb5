"""Administration: what a person asks of a store, and what a release changes in it."""
