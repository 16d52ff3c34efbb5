"""Bulk: many events at once, from files and from tables of other stores."""
