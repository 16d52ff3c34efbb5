"""Suggestions: what a person may have meant who typed a name that nobody knows."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["hints", "meant"]


def meant(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean X?`` if a known name is spelt alike, else nothing."""
    near = get_close_matches(name, sorted(set(known)), n=1)
    return f"did you mean {near[0]}?" if near else ""


def hints(what: str, names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Say of each name that is not known that it is not, and what it may have been meant to be.

    Args:
        what: What the names are of, such as ``event type``.
        names: Those that somebody typed.
        known: Those that there are.
    """
    there = set(known)
    told = []
    for name in names:
        if name not in there:
            hint = meant(name, there)
            told.append(f"No domain of WORKER_DOMAINS has the {what} {name}" + (f"; {hint}" if hint else "."))
    return told
