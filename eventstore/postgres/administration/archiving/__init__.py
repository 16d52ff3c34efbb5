"""Archiving: whole old partitions are moved out of the database into files, and back."""
