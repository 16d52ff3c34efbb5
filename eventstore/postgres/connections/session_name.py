"""How sessions of this program appear in ``pg_stat_activity``: by what they are for, with a mark of the build."""

__all__ = ["MARK", "UNNAMED", "session_name"]

UNNAMED = "eventstore"
"""What a session is for whose program does not say."""

MARK = " (append 2)"
"""Says that the build appends by ``append_v2``; by it ``worker db migrate --finish`` tells who does not.

It may stand anywhere in a name: poolers add the client's address to the end.
"""

# PostgreSQL cuts longer names off, and would lose the mark; of what is not ASCII it writes the bytes.
_LONGEST = 63


def session_name(purpose: str) -> str:
    """Return an ``application_name``."""
    return purpose.encode("ascii", "replace").decode()[: _LONGEST - len(MARK)] + MARK
