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
"""The largest number of members in a chain: all are recorded in one transaction, and other appends wait for it."""

LARGEST_APPEND = 5000
"""The largest number of events in an append or chain: each read of the log's head skips the uncommitted ones."""

_LONGEST_DIGEST = 64  # bytes; the length of the longest digest in common use


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of ``EventStore.append``, which describes them; a member of a chain.

    Attributes:
        events: The events to record; a tuple after construction.
        boundary: The filter or parts whose new events would change the decision; events of earlier chain members are no
            conflict. After construction a tuple of one part or more, or None for an unconditional append.
        after: The position up to which the decision's query read, if the boundary is a filter. Construction moves it
            into the boundary part and sets this attribute to None.
        key: The idempotency key, or None. Every member of a chain needs one.
        scope: The namespace of the key, such as a domain's name; by default empty.
        digest: Identifies the request that the key belongs to, 1 to 64 bytes; by default computed from events and
            boundary if there is a key.
        outcome: The outcome that the receipt will state; by default accepted.
        context: The OpenTelemetry context that the append's span belongs to; None for the current context.

    Raises:
        InvalidRequest: There are more than ``LARGEST_APPEND`` events, ``after`` comes without a filter, a boundary has
            no parts, a digest is empty or longer than 64 bytes, ``check_scope`` refuses the scope, or an argument has a
            wrong type. Checked here, so that a bad append cannot fail the others that share its transaction.
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
        """The boundary's parts, each checked from its own position; empty for an unconditional append."""
        return cast("tuple[BoundaryPart, ...]", self.boundary or ())

    @property
    def size(self) -> int:
        """The approximate size of the events in bytes: payload and metadata as JSON."""
        return sum([len(event.payload_text) + len(event.metadata_text) for event in self.events])

    @property
    def shape(self) -> FilterShape | None:
        """The boundary's filter shape; the broadest part decides. None without a boundary."""
        return FilterShape.of([item for part in self.parts for item in part.filter.items]) if self.parts else None

    def with_parts(self, parts: Iterable[BoundaryPart]) -> "Append":
        """Return the same append with other boundary parts: the same filters, read up to other positions."""
        return replace(self, boundary=tuple(parts))


def check_count(events: int) -> None:
    """Check the number of events that one append or chain records.

    Raises:
        InvalidRequest: There are more than ``LARGEST_APPEND`` events.
    """
    if events > LARGEST_APPEND:
        raise InvalidRequest(
            f"at most {LARGEST_APPEND:,} events are recorded at once, not {events:,}: append one part after the other, "
            "or import them"
        )


def check_chain(appends: Sequence[Append]) -> None:
    """Check the argument of ``EventStore.append_chain``.

    Raises:
        InvalidRequest: A member has no key, there are more than ``LONGEST_CHAIN`` members, or they have more than
            ``LARGEST_APPEND`` events together.
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
            raise InvalidRequest("a position needs a boundary; pass both, or neither")
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
    """Digest what the caller asked for: events in order and filters in any order.

    Times, metadata and positions are left out, since they differ when the caller repeats the request.
    """
    filters = sorted({part.filter.digest for part in parts or ()})
    boundary = filters[0] if len(filters) == 1 else hashlib.blake2b(b"".join(filters), digest_size=16).digest()
    hashed = hashlib.blake2b(boundary if filters else b"", digest_size=16)
    for event in events:
        for text in (event.type.encode(), canonical(decode_object(event.payload_text))):
            hashed.update(len(text).to_bytes(8, "big") + text)
    return hashed.digest()
