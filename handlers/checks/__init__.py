"""Checks that find faults of a domain when it is constructed, or before it is used."""
