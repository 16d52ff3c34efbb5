"""Erasure: personal fields of events are recorded sealed, and a person is forgotten by deleting one key."""
