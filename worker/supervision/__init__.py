"""Supervision: starts and restarts several worker processes, watches their health, and ends them."""
