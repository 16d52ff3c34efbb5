"""Several worker processes, their health and their end."""
