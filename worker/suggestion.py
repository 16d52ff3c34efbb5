"""Suggestions: what a person may have meant by a name that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["hints", "meant"]


def meant(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean X?`` if a known name is similar; otherwise the empty string."""
    near = get_close_matches(name, sorted(set(known)), n=1)
    return f"did you mean {near[0]}?" if near else ""


def hints(what: str, names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a sentence for each name that is not known, with a similar one if there is.

    Args:
        what: The kind of the names, such as ``event type``.
        names: The names that were typed.
        known: The names that exist.
    """
    there = set(known)
    told = []
    for name in names:
        if name not in there:
            hint = meant(name, there)
            told.append(f"No domain of WORKER_DOMAINS has the {what} {name}" + (f"; {hint}" if hint else "."))
    return told
