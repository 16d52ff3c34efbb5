"""The way of a command, from its message to its settlement."""
