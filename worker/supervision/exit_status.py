"""The exit status: how a process ended, as text."""

import signal

__all__ = ["how_it_ended"]


def how_it_ended(status: int) -> str:
    """Return how a process ended, for people.

    Args:
        status: Its exit status; if a signal ended it, that signal's number, negative.
    """
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
