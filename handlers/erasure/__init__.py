"""Erasure: personal fields of events are recorded sealed, and deleting one key forgets a person."""
