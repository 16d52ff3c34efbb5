"""Appends: how events get into the log: alone, in group commits, and under a held lock."""
