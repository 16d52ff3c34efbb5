"""The exit status: how a process ended, in words."""

import signal

__all__ = ["how_it_ended"]


def how_it_ended(status: int) -> str:
    """Say how a process ended.

    Args:
        status: Its exit status; negative for the number of the signal that ended it.
    """
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
