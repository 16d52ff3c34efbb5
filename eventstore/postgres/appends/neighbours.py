"""Neighbours: what the members of one batch are to each other once the batch is on record.

An append whose boundary an earlier member's events entered is refused by what its own process has just recorded: the
number and the content of those events are known here, and need not be asked for.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from eventstore.append import Append
from eventstore.errors import ConcurrencyConflict
from eventstore.events import RecordedEvent
from eventstore.position import Position
from eventstore.postgres.appends.batch import Resend, Verdict
from eventstore.receipt import Receipt
from eventstore.stream import EventStream

__all__ = ["judged_by_neighbours"]

_TOLD = (Resend, ConcurrencyConflict)


def judged_by_neighbours(appends: Sequence[Append], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Bring the verdicts of a batch up to what the batch itself has recorded.

    What is to be sent again has, by the order of the function's verdicts, nothing against it in the log before the
    batch: only what the batch recorded is. Of a conflict with the log before, the batch's events are unseen as well.

    Args:
        appends: The batch, which is on record.
        verdicts: Its verdicts, in order.

    Returns:
        The verdicts. ``Resend`` remains where nothing that was recorded lies in the boundary: for a member that repeats
        the key of one that was refused, and for one whose bound on the number leaves out what the batch recorded.
    """
    if not any([isinstance(verdict, _TOLD) for verdict in verdicts]):  # noqa: C419  of many, a list is faster
        return list(verdicts)
    recorded = _recorded(appends, verdicts)
    return [_judged(append, verdict, recorded) for append, verdict in zip(appends, verdicts, strict=True)]


def _judged(append: Append, verdict: Verdict, recorded: Sequence[RecordedEvent]) -> Verdict:
    if isinstance(verdict, Resend):
        return _conflict(append, recorded) or verdict
    if isinstance(verdict, ConcurrencyConflict) and verdict.unseen is not None and recorded:
        further = _unseen(append, recorded)
        if further is not None:
            verdict.unseen = replace(further, events=verdict.unseen.events + further.events)
    return verdict


def _recorded(appends: Sequence[Append], verdicts: Sequence[Verdict]) -> list[RecordedEvent]:
    """Return the events that the batch recorded, in order."""
    found: list[RecordedEvent] = []
    for append, verdict in zip(appends, verdicts, strict=True):
        if isinstance(verdict, Receipt) and not verdict.duplicate and verdict.first is not None:
            token = verdict.position.token
            found += [event.recorded(number, token) for number, event in enumerate(append.events, start=verdict.first)]
    return found


def _conflict(append: Append, recorded: Sequence[RecordedEvent]) -> ConcurrencyConflict | None:
    for event in recorded:
        for place, part in enumerate(append.parts):
            if part.filter.holds(event):
                return ConcurrencyConflict(
                    sequence_number=event.sequence_number,
                    event_type=event.type,
                    metadata=dict(event.metadata),
                    part=place,
                    unseen=_unseen(append, recorded),
                )
    return None


def _unseen(append: Append, recorded: Sequence[RecordedEvent]) -> EventStream | None:
    if len(append.parts) > 1:
        return None  # each part has a position of its own
    (part,) = append.parts
    last = recorded[-1]
    return EventStream(
        events=tuple([event for event in recorded if part.filter.holds(event)]),
        position=Position(number=last.sequence_number, token=last.token),
    )
