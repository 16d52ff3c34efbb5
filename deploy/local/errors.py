"""The one error of the local stack."""

__all__ = ["StackError"]


class StackError(Exception):
    """Raised when servers cannot be provided. Its text is one sentence for a person, and says what to do."""
