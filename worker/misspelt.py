"""Misspelt variables: environment variables that look like settings but are not."""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches

__all__ = ["misspelt", "unknown"]

_OWN_PREFIX = "WORKER_"
# Other programs have variables, too: only a name that differs by a letter or two, and not by its first letter, is taken
# for a misspelling. DATABASE_URI is another program's, and _DATABASE_URL was set aside.
_OWN_CUTOFF, _SHARED_CUTOFF = 0.85, 0.93


def misspelt(names: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each variable whose name is close to that of a setting, with that setting.

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
    """Return the names that begin with the prefix of the worker's settings, and are none."""
    return tuple(sorted(name for name in set(names) - set(known) if name.startswith(_OWN_PREFIX)))
