"""The read side: followers of the log, each run under a lease, whose checkpoints are kept beside what they derive."""
