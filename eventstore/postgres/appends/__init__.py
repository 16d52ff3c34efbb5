"""Appends: how events get into the log, alone, in groups and under a lock that is held."""
