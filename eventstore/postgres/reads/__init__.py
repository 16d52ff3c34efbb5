"""Reads: filters as statements, from the server that may answer them."""
