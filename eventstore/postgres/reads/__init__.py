"""Reads: filters as SQL statements, and the choice of the server that answers them."""
