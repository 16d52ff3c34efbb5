"""Neighbours: what the members of one batch are to each other once the batch is on record.

An append whose boundary an earlier member's events entered is refused by what its own process has just recorded: the
number and the content of those events are known here, and need not be asked for.
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
    """Tell whose verdict settles each member of a batch, so that only that one is sent.

    Of those who decided on the same filter from the same position, one at most is recorded, if that changes what the
    filter finds: the first, unless something is against it, which is then against all of them. What has a key is judged
    by itself, for it may be a duplicate.

    Returns:
        For each the place of the first of those, mostly its own.
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
    """Tell who of those that came while a batch was under way would have followed a member of it.

    They could have been in it, and are told what they would have been told then: sent after it, from the position that
    the batch has passed, they could only lose.

    Returns:
        The place of the member that leads, by that of the follower.
    """
    named = set(map(_first_name, batch))
    alike = [place for place, append in enumerate(late) if _first_name(append) in named]
    if not alike:
        return {}  # nearly always
    leaders = leaders_of([*batch, *[late[place] for place in alike]])[len(batch) :]
    return {place: leader for place, leader in zip(alike, leaders, strict=True) if leader < len(batch)}


def _enters(append: Append, boundary: Filter) -> bool:
    """Whether an append changes what a filter finds."""
    try:
        return any(boundary.holds_pending(event) for event in append.events)
    except (ValueError, RecursionError):
        return False  # its payload cannot be read, and it will be refused


def _first_name(append: Append) -> object:
    """Return something that is equal for equal boundaries, and seldom for others; of what is always sent, itself."""
    if append.key is not None or len(append.parts) != 1:
        return id(append)
    item = append.parts[0].filter.items[0]
    return item.predicates[0].fragment if item.predicates else "".join(item.event_types)


def followed(verdict: Verdict) -> Verdict:
    """Return the verdict of a member whose leader has this one."""
    if isinstance(verdict, Receipt):
        return Resend()  # for an event that the leader recorded
    return verdict.copy_for_caller() if isinstance(verdict, EventStoreError) else verdict


def judged_by_neighbours(appends: Sequence[Append], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Bring the verdicts of a batch up to what the batch itself has recorded.

    What is to be sent again has, by the order of the function's verdicts, nothing against it in the log before the
    batch: only what the batch recorded is. Of a conflict with the log before, the batch's events are unseen as well.

    Args:
        appends: The batch, which is on record.
        verdicts: Its verdicts, in order.

    Returns:
        The verdicts. ``Resend`` remains where nothing that was recorded lies in the boundary, as for one whose bound on
        the number leaves out what the batch recorded; and for a member that repeats the key of an earlier one: nobody
        has looked whether the log before has anything against it.
    """
    if not any([isinstance(verdict, _TOLD) for verdict in verdicts]):  # noqa: C419  of many, a list is faster
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
