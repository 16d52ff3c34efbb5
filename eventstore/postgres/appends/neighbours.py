"""Neighbours: how the members of one batch affect each other once the batch is recorded.

An append whose boundary matches events of an earlier member conflicts with events that this process has just recorded:
their numbers and content are known here, without a query.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec.structs import replace

from eventstore.append import Append
from eventstore.errors import ConcurrencyConflict, EventStoreError
from eventstore.events import RecordedEvent
from eventstore.filter import Filter
from eventstore.position import Position
from eventstore.postgres.appends.batch import Resend, Verdict
from eventstore.receipt import Receipt
from eventstore.stream import EventStream

__all__ = ["followed", "judged_by_neighbours", "late_followers", "leaders_of"]

_TOLD = (Resend, ConcurrencyConflict)


def leaders_of(appends: Sequence[Append]) -> Sequence[int]:
    """Return for each member of a batch the index of the member whose verdict settles it; only that one is sent.

    Of appends that were decided on the same filter from the same position, at most one is recorded, if its events
    change what the filter matches: the first, unless it conflicts with the log, and then all of them do. An append with
    a key is always sent, because it may be a duplicate.

    Returns:
        For each member the index of its leader, mostly its own.
    """
    named = [_first_name(append) for append in appends]
    leaders = list(range(len(appends)))
    if len(set(named)) == len(named):
        return leaders  # nearly always
    first: dict[tuple[object, ...], int] = {}
    for place, (append, name) in enumerate(zip(appends, named, strict=True)):
        if type(name) is not str:
            continue
        part = append.parts[0]
        identity = (part.filter, part.after, part.besides)
        if identity in first:
            leaders[place] = first[identity]
        elif part.filter.above <= part.after.number and _enters(append, part.filter):
            first[identity] = place
    return leaders


def late_followers(batch: Sequence[Append], late: Sequence[Append]) -> dict[int, int]:
    """Find the appends that arrived while a batch was in flight and would have followed one of its members.

    They could have been in the batch, and get the answer that they would have got then: sent after it, with a position
    that the batch has passed, they could only conflict.

    Returns:
        The index of the leading batch member, by the index of the late append.
    """
    named = set(map(_first_name, batch))
    alike = [place for place, append in enumerate(late) if _first_name(append) in named]
    if not alike:
        return {}  # nearly always
    leaders = leaders_of([*batch, *[late[place] for place in alike]])[len(batch) :]
    return {place: leader for place, leader in zip(alike, leaders, strict=True) if leader < len(batch)}


def _enters(append: Append, boundary: Filter) -> bool:
    """Return whether an append's events change what a filter matches."""
    try:
        return any(boundary.holds_pending(event) for event in append.events)
    except (ValueError, RecursionError):
        return False  # its payload cannot be parsed, so the append will be refused


def _first_name(append: Append) -> object:
    """Return a key that is equal for equal boundaries and rarely for others; unique for an append always sent."""
    if append.key is not None or len(append.parts) != 1:
        return id(append)
    item = append.parts[0].filter.items[0]
    return item.predicates[0].fragment if item.predicates else "".join(item.event_types)


def followed(verdict: Verdict) -> Verdict:
    """Return the verdict of a member from that of its leader."""
    if isinstance(verdict, Receipt):
        return Resend()  # for an event that the leader recorded
    return verdict.copy_for_caller() if isinstance(verdict, EventStoreError) else verdict


def judged_by_neighbours(appends: Sequence[Append], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Update the verdicts of a batch with the events that the batch itself has recorded.

    By the order in which ``append_v3`` checks, a member with the verdict ``Resend`` has no conflict in the log before
    the batch, only with events of the batch. For a conflict with the log before, the batch's events are unseen as well.

    Args:
        appends: The appends of the batch, which is committed.
        verdicts: The verdict of each append, in order.

    Returns:
        The updated verdicts. ``Resend`` remains if no recorded event matches the boundary, as when its bound on the
        number excludes them, and for a member that repeats the key of an earlier one: its boundary was not checked
        against the log.
    """
    if not any([isinstance(verdict, _TOLD) for verdict in verdicts]):  # noqa: C419  for many items, a list is faster
        return list(verdicts)
    recorded = _recorded(appends, verdicts)
    keys: set[tuple[UUID, str]] = set()
    judged = []
    for append, verdict in zip(appends, verdicts, strict=True):
        if append.key is None:
            judged.append(_judged(append, verdict, recorded))
            continue
        repeats = (identity := (append.key, append.scope)) in keys
        keys.add(identity)
        judged.append(verdict if repeats and isinstance(verdict, Resend) else _judged(append, verdict, recorded))
    return judged


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
