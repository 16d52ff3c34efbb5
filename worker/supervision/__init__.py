"""Several worker processes: their start and restart, their health, their end."""
