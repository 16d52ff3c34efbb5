"""What holds a chain together when it is recorded in more than one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from eventstore.boundary import OwnRange
from eventstore.boundary_index import BoundaryIndex
from eventstore.errors import InvalidRequest
from eventstore.postgres.batch import Verdict, met
from eventstore.receipt import Receipt
from eventstore.request import AppendRequest

__all__ = ["having_seen", "is_new", "own_range", "unbroken"]


def is_new(verdict: Verdict) -> bool:
    """Tell whether a member was recorded now: not refused, and no duplicate."""
    return isinstance(verdict, Receipt) and not verdict.duplicate


def own_range(verdicts: Sequence[Verdict]) -> list[OwnRange]:
    """Return the numbers that one transaction gave to its members' events; none if there were no events."""
    new = [
        verdict
        for verdict in verdicts
        if isinstance(verdict, Receipt) and not verdict.duplicate and verdict.first is not None
    ]
    return [OwnRange(first=new[0].first, last=new[-1].position)] if new and new[0].first is not None else []


def having_seen(request: AppendRequest, own: Sequence[OwnRange]) -> AppendRequest:
    """Return a member's request, judged as one that has seen what was recorded of those before it."""
    if request.parts is None or not own:
        return request
    return request.with_parts([replace(part, besides=(*part.besides, *own)) for part in request.parts])


def unbroken(missing: Iterable[AppendRequest], later: Sequence[AppendRequest]) -> list[bool]:
    """Tell who can still be judged.

    Args:
        missing: The earlier members that were not recorded as new.
        later: The members after them, in order.

    Returns:
        For each of the latter whether it relied neither on the missing ones nor on one that did.
    """
    parts = [[part.filter for part in request.parts or ()] for request in later]
    index = BoundaryIndex(each for read in parts for each in read)
    stirred: set[int] = set()
    for request in missing:
        stirred.update(_met(index, request, sum(map(len, parts))))
    found = []
    place = 0
    for request, read in zip(later, parts, strict=True):
        passes = stirred.isdisjoint(range(place, place + len(read)))
        place += len(read)
        if not passes:
            stirred.update(_met(index, request, sum(map(len, parts))))
        found.append(passes)
    return found


def _met(index: BoundaryIndex, request: AppendRequest, count: int) -> Iterable[int]:
    try:
        return met(index, request.events)
    except InvalidRequest:
        return range(count)  # nobody knows whom it concerns: it may be anybody
