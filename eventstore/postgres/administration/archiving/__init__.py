"""Archiving: moves whole old partitions out of the database into files, and back."""
