"""A process of their own for commands that may have killed one."""
