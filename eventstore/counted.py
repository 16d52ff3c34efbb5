"""Counted things: a number and its noun, as a sentence has them."""

__all__ = ["counted"]


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return ``1 event``, ``2 events`` or ``1,000 events``.

    Args:
        count: How many.
        one: What one is called, perhaps with its verb: ``event``, or ``event is``.
        many: What any other number is called; by default with an s at the end.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
