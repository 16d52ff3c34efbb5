"""Chains that are recorded in more than one transaction."""

from collections.abc import Iterable, Sequence
from itertools import chain

from msgspec.structs import replace

from eventstore.append import Append
from eventstore.boundary import OwnRange
from eventstore.boundary_index import BoundaryIndex
from eventstore.errors import ChainBroken, InvalidRequest
from eventstore.postgres.appends.batch import BROKEN, Verdict, met
from eventstore.receipt import Receipt

__all__ = ["having_seen", "is_new", "own_ranges", "unbroken"]


def is_new(verdict: Verdict) -> bool:
    """Return whether a member was recorded now, so that it is neither refused nor a duplicate."""
    return isinstance(verdict, Receipt) and not verdict.duplicate


def own_ranges(verdicts: Iterable[Verdict]) -> list[OwnRange]:
    """Return the range of sequence numbers that each transaction gave to its members' events."""
    found: dict[int, OwnRange] = {}
    for verdict in verdicts:
        if isinstance(verdict, Receipt) and not verdict.duplicate and verdict.first is not None:
            token = verdict.position.token
            first = found[token].first if token in found else verdict.first
            found[token] = OwnRange(first=first, last=verdict.position)
    return list(found.values())


def having_seen(append: Append, own: Sequence[OwnRange]) -> Append:
    """Return a member whose boundary counts the events recorded for earlier members as seen."""
    if not append.parts or not own:
        return append
    return append.with_parts(replace(part, besides=(*part.besides, *own)) for part in append.parts)


def unbroken(missing: Iterable[Append], later: Sequence[Append]) -> Iterable[ChainBroken | None]:
    """Find the later members whose decisions do not rely on an event that was not recorded.

    Args:
        missing: The earlier members that were not recorded as new.
        later: The members after them, in order.

    Yields:
        For each later member None if it relied neither on a missing member nor on one that did, otherwise its error.
    """
    filters = [[part.filter for part in append.parts] for append in later]
    index = BoundaryIndex(chain.from_iterable(filters))
    everything = range(sum(map(len, filters)))
    stirred: set[int] = set()
    for append in missing:
        stirred.update(_met(index, append, everything))
    place = 0
    for append, read in zip(later, filters, strict=True):
        passes = stirred.isdisjoint(range(place, place + len(read)))
        place += len(read)
        if not passes:
            stirred.update(_met(index, append, everything))
        yield None if passes else ChainBroken(BROKEN)


def _met(index: BoundaryIndex, append: Append, everything: Iterable[int]) -> Iterable[int]:
    try:
        return met(index, append.events)
    except InvalidRequest:
        return everything  # unknown which boundaries it matches: possibly all
