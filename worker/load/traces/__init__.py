"""Traces of a load run, as they come from its workers."""
