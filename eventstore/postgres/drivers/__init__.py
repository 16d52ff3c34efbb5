"""Drivers: all that knows one lies here, each in a file of its own; the rest of the store speaks their protocol."""
