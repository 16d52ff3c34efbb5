"""Checks: what of a domain can never work, found when it is made or before it is used."""
