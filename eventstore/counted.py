"""Counted nouns: a number with its noun in the singular or plural."""

__all__ = ["counted"]


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return ``1 event``, ``2 events`` or ``1,000 events``.

    Args:
        count: The number.
        one: The noun for a count of 1, perhaps with its verb: ``event``, or ``event is``.
        many: The noun for any other count; by default ``one`` with an s at the end.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
