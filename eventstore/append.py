"""An append: what a caller asks to have recorded, checked when it is made. Every engine judges this value."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import cast
from uuid import UUID

import msgspec
from msgspec.structs import force_setattr, replace
from opentelemetry.context import Context

from eventstore.boundary import Boundary, BoundaryPart, OwnRange
from eventstore.errors import InvalidRequest
from eventstore.events import Event
from eventstore.filter import Filter
from eventstore.filter_item import FilterShape
from eventstore.jsontext import canonical, decode_object
from eventstore.position import START, Position
from eventstore.receipt import ACCEPTED, Outcome, check_scope

__all__ = ["LARGEST_APPEND", "LONGEST_CHAIN", "Append", "check_chain", "check_count"]

LONGEST_CHAIN = 128
"""How many members a chain may have: it is recorded in one transaction, during which everybody else waits."""

LARGEST_APPEND = 5000
"""How many events an append, or a chain, may have: each look at the log's end passes over what is not committed."""

_LONGEST_DIGEST = 64  # the longest in common use


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of ``EventStore.append``, which describes them; a member of a chain.

    Attributes:
        events: What to record.
        boundary: Which events would have changed the decision, besides those of earlier members; once it is made, a
            tuple of parts, one at least, or None.
        after: How far the decision's query saw, if the boundary is a filter; that part has it, once it is made.
        key: Makes it idempotent. Every member of a chain needs one.
        scope: Whose key it is.
        digest: What tells the key's request from another; made of the events and the boundary if there is none.
        outcome: What the receipt will say.
        context: Where its span belongs; the current context if None.

    Raises:
        InvalidRequest: More than ``LARGEST_APPEND`` events, ``after`` without a filter, a boundary without parts, a
            digest that is empty or longer than 64 bytes, a scope that ``check_scope`` refuses, or an argument of
            another type: found here, it cannot disturb the appends that share its transaction.
    """

    events: Sequence[Event]
    boundary: Boundary | None = None
    after: Position | None = None
    key: UUID | None = None
    scope: str = ""
    digest: bytes | None = None
    outcome: Outcome = ACCEPTED
    context: Context | None = None

    def __post_init__(self) -> None:
        events = tuple(self.events)
        check_count(len(events))
        for event in events:
            if not isinstance(event, Event):
                raise _unfit("event", event)
        if self.key is not None and not isinstance(self.key, UUID):
            raise _unfit("key", self.key)
        if self.after is not None and not isinstance(self.after, Position):
            raise _unfit("position", self.after)
        if not isinstance(self.outcome, Outcome):
            raise _unfit("outcome", self.outcome)
        check_scope(self.scope)
        if self.digest is not None and not 0 < len(self.digest) <= _LONGEST_DIGEST:
            raise InvalidRequest(f"a digest has 1 to {_LONGEST_DIGEST} bytes")
        parts = _parts(self.boundary, self.after)
        force_setattr(self, "events", events)
        force_setattr(self, "boundary", parts)
        force_setattr(self, "after", None)
        if self.digest is None and self.key is not None:
            force_setattr(self, "digest", _digest(events, parts))

    @property
    def parts(self) -> tuple[BoundaryPart, ...]:
        """What must not have changed; nothing if it is unconditional."""
        return cast("tuple[BoundaryPart, ...]", self.boundary or ())

    @property
    def size(self) -> int:
        """How many bytes its events have, about."""
        return sum([len(event.payload_text) + len(event.metadata_text) for event in self.events])

    @property
    def shape(self) -> FilterShape | None:
        """What kind of question its boundary is; the broadest part decides. None without a boundary."""
        return FilterShape.of([item for part in self.parts for item in part.filter.items]) if self.parts else None

    def with_parts(self, parts: Iterable[BoundaryPart]) -> "Append":
        """Return the same append, judged by parts that ask the same from other positions."""
        return replace(self, boundary=tuple(parts))


def check_count(events: int) -> None:
    """Check how many events are to be recorded at once.

    Raises:
        InvalidRequest: They are too many.
    """
    if events > LARGEST_APPEND:
        raise InvalidRequest(
            f"at most {LARGEST_APPEND:,} events are recorded at once, not {events:,}: append one part after the other, "
            "or import them"
        )


def check_chain(appends: Sequence[Append]) -> None:
    """Check the argument of ``EventStore.append_chain``.

    Raises:
        InvalidRequest: One has no key, or they are too many, or have too many events.
    """
    if len(appends) > LONGEST_CHAIN:
        raise InvalidRequest(f"a chain has at most {LONGEST_CHAIN} members, not {len(appends)}")
    if any(append.key is None for append in appends):
        raise InvalidRequest("a member of a chain needs a key")
    check_count(sum([len(append.events) for append in appends]))


def _unfit(name: str, value: object) -> InvalidRequest:
    return InvalidRequest(f"an append cannot take {value!r} as its {name}")


def _parts(boundary: object, after: Position | None) -> tuple[BoundaryPart, ...] | None:
    if isinstance(boundary, Filter):
        return (BoundaryPart(filter=boundary, after=after or START),)
    if boundary is None:
        if after is not None:
            raise InvalidRequest("a position says nothing without a boundary; pass both, or neither")
        return None
    if not isinstance(boundary, tuple | Sequence) or not all(map(_is_part, boundary)):
        raise _unfit("boundary", boundary)
    if not boundary:
        raise InvalidRequest("a boundary has one part at least; leave it out to append without one")
    if after is not None:
        raise InvalidRequest("each part of a boundary has a position of its own; pass no other")
    return tuple(boundary)


def _is_part(part: object) -> bool:
    return (
        isinstance(part, BoundaryPart)
        and isinstance(part.filter, Filter)
        and isinstance(part.after, Position)
        and isinstance(part.besides, tuple)
        and (not part.besides or all(isinstance(own, OwnRange) for own in part.besides))
    )


def _digest(events: Sequence[Event], parts: tuple[BoundaryPart, ...] | None) -> bytes:
    """Digest what the caller asked for; not when or by whom, which differ when it asks again, nor in which order."""
    filters = sorted({part.filter.digest for part in parts or ()})
    boundary = filters[0] if len(filters) == 1 else hashlib.blake2b(b"".join(filters), digest_size=16).digest()
    hashed = hashlib.blake2b(boundary if filters else b"", digest_size=16)
    for event in events:
        for text in (event.type.encode(), canonical(decode_object(event.payload_text))):
            hashed.update(len(text).to_bytes(8, "big") + text)
    return hashed.digest()
