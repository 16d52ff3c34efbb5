"""The path of a command, from its message to its settlement."""
