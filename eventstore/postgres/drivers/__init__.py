"""Drivers: the code for each driver, in a file of its own; the rest of the store uses their common protocol."""
