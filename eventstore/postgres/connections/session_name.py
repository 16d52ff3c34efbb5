"""Session names: how this program's connections appear in ``pg_stat_activity``, by purpose and with a marker."""

__all__ = ["MARK", "UNNAMED", "session_name"]

UNNAMED = "eventstore"
"""The purpose of a session if the program names none."""

MARK = " (append 2)"
"""Marks releases that append by ``append_v2`` or later; ``worker db migrate --finish`` looks for sessions without it.

The check finds it anywhere in a name, since poolers append the client's address.
"""

# PostgreSQL truncates longer names, which would lose the marker, and escapes characters outside ASCII.
_LONGEST = 63


def session_name(purpose: str) -> str:
    """Return the ``application_name`` for a purpose."""
    return purpose.encode("ascii", "replace").decode()[: _LONGEST - len(MARK)] + MARK
