"""Misspelt variables: names in the environment that look like settings of ours and are none."""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches

__all__ = ["misspelt", "unknown"]

_OWN_PREFIX = "WORKER_"
# Other programs have variables, too: only what differs by a letter or two, and not by its first, is taken for one of
# ours. DATABASE_URI is one of theirs, and _DATABASE_URL what somebody set aside.
_OWN_CUTOFF, _SHARED_CUTOFF = 0.85, 0.93


def misspelt(names: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Return each name that is nearly that of a setting, and the setting that it is nearly.

    Args:
        names: The variables that are set.
        known: The variables that are settings.
    """
    for name in sorted(set(names) - set(known)):
        begun = sorted(each for each in known if each[:1] == name[:1])
        exchanged = [each for each in begun if sorted(each) == sorted(name)]  # AMPQ_URL
        cutoff = _OWN_CUTOFF if name.startswith(_OWN_PREFIX) else _SHARED_CUTOFF
        for near in exchanged[:1] or get_close_matches(name, begun, n=1, cutoff=cutoff):
            yield name, near


def unknown(names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the names that begin as our settings do, and are none."""
    return tuple(sorted(name for name in set(names) - set(known) if name.startswith(_OWN_PREFIX)))
