"""An append, checked and ready to be judged."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from eventstore.append import LONGEST_CHAIN, Append
from eventstore.boundary import Boundary, BoundaryPart, OwnRange
from eventstore.errors import InvalidRequest, TooFarBehind
from eventstore.events import Event
from eventstore.filter import Filter, FilterShape
from eventstore.held import LONGEST_HELD_READ
from eventstore.jsontext import canonical, decode_object
from eventstore.position import START, Position
from eventstore.question import Question
from eventstore.receipt import Outcome, Receipt

__all__ = [
    "AppendRequest",
    "answers_scope",
    "check_batch_size",
    "check_held_read",
    "check_hold",
    "check_limit",
    "check_scope",
]

_LONGEST_SCOPE = 200
# Seconds. Whoever asks for the lock by itself has lost some attempts; whoever holds it stops everybody.
_LONGEST_HOLD = 10
_LONGEST_PATIENCE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendRequest:
    """What a caller asked of ``append``, with its defaults filled in. Every engine judges this value.

    Attributes:
        events: What to record.
        parts: What must not have changed, one part at least, or None; a filter is one part.
        key: The idempotency key, or None.
        scope: Whose key it is.
        digest: What tells the key's request from another.
        outcome: What the receipt will say.
    """

    events: tuple[Event, ...]
    parts: tuple[BoundaryPart, ...] | None
    key: UUID | None
    scope: str = ""
    digest: bytes
    outcome: Outcome

    @property
    def size(self) -> int:
        """How many bytes its events have, about."""
        return sum(len(event.payload_text) + len(event.metadata_text) for event in self.events)

    @property
    def shape(self) -> FilterShape | None:
        """What kind of question its boundary is; the broadest part decides. None without a boundary."""
        if self.parts is None:
            return None
        return Filter(tuple(item for part in self.parts for item in part.filter.items)).shape

    @classmethod
    def of(
        cls,
        events: Sequence[Event],
        *,
        boundary: Boundary | None,
        after: Position | None,
        key: UUID | None,
        scope: str = "",
        digest: bytes | None,
        outcome: Outcome,
    ) -> "AppendRequest":
        """Check the arguments of ``EventStore.append``, which describes them.

        Raises:
            InvalidRequest: ``after`` without a filter, a boundary without parts, a digest that is empty or longer than
                64 bytes, a scope that ``check_scope`` refuses, or an argument of another type: found here, it cannot
                disturb the requests that share its transaction.
        """
        recorded = tuple(events)
        for name, part, kinds in (
            ("position", after, Position | None),
            ("key", key, UUID | None),
            ("scope", scope, str),
            ("outcome", outcome, Outcome),
            *(("event", event, Event) for event in recorded),
        ):
            if not isinstance(part, kinds):
                raise InvalidRequest(f"an append cannot take {part!r} as its {name}")
        if digest is not None and not 0 < len(digest) <= 64:  # noqa: PLR2004  the longest digest in common use
            raise InvalidRequest("a digest has 1 to 64 bytes")
        check_scope(scope)
        parts = _parts(boundary, after)
        return cls(
            events=recorded,
            parts=parts,
            key=key,
            scope=scope,
            digest=digest or _digest(recorded, parts) if key is not None else b"",
            outcome=outcome,
        )

    @classmethod
    def chained(cls, appends: Sequence[Append]) -> "list[AppendRequest]":
        """Check the arguments of ``EventStore.append_chain``, which describes them.

        Raises:
            InvalidRequest: As ``of``; or one has no key, or they are too many.
        """
        if len(appends) > LONGEST_CHAIN:
            raise InvalidRequest(f"a chain has at most {LONGEST_CHAIN} members, not {len(appends)}")
        requests = []
        for each in appends:
            if each.key is None:
                raise InvalidRequest("a member of a chain needs a key")
            requests.append(
                cls.of(
                    each.events,
                    boundary=each.boundary,
                    after=each.after,
                    key=each.key,
                    scope=each.scope,
                    digest=each.digest,
                    outcome=each.outcome,
                )
            )
        return requests

    def with_parts(self, parts: Sequence[BoundaryPart]) -> "AppendRequest":
        """Return the same request, judged by parts that ask the same from other positions."""
        return replace(self, parts=tuple(parts))


def check_batch_size(batch_size: int) -> None:
    """Check an argument of the store's iterators.

    Raises:
        InvalidRequest: Nothing would ever be fetched.
    """
    if batch_size < 1:
        raise InvalidRequest(f"a batch holds 1 or more, not {batch_size}")


def check_hold(limit: float, patience: float) -> None:
    """Check the arguments of ``EventStore.exclusive``.

    Raises:
        InvalidRequest: A number of seconds is out of range.
    """
    if not 0 < limit <= _LONGEST_HOLD:
        raise InvalidRequest(f"the lock is held for more than 0 and at most {_LONGEST_HOLD} seconds, not {limit}")
    if not 0 < patience <= _LONGEST_PATIENCE:
        raise InvalidRequest(f"one waits for the lock more than 0 and at most {_LONGEST_PATIENCE} s, not {patience}")


def check_held_read(question: Question, head: Position) -> None:
    """Check that a question is short enough to be answered under the lock.

    Raises:
        TooFarBehind: It is not.
    """
    least = min((each.above for each in question.filters), default=head.number)
    if head.number - least > LONGEST_HELD_READ:
        raise TooFarBehind(
            f"a read under the lock begins at most {LONGEST_HELD_READ} events below the head ({head.number}), "
            f"not at {least}: read up to the head first, then hold the lock"
        )


def check_limit(limit: int) -> None:
    """Check how many events a caller wants at most.

    Raises:
        InvalidRequest: None.
    """
    if limit < 1:
        raise InvalidRequest(f"a limit is 1 or more, not {limit}")


def check_scope(scope: str) -> None:
    """Check whose key is meant.

    Raises:
        InvalidRequest: The scope is longer than 200 characters, or has one that no database takes.
    """
    try:
        scope.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"the scope {scope!r} has a lone surrogate") from None
    if len(scope) > _LONGEST_SCOPE or "\x00" in scope:
        raise InvalidRequest(f"a scope has up to {_LONGEST_SCOPE} characters, none of them NUL, unlike {scope!r}")


def answers_scope(receipt: Receipt, scope: str) -> bool:
    """Tell whether a receipt of a key is one in a scope, or a build without scopes has written it for that domain."""
    return receipt.scope == scope or (receipt.scope == "" and receipt.outcome.details.get("domain") == scope)


def _parts(boundary: object, after: Position | None) -> tuple[BoundaryPart, ...] | None:
    if isinstance(boundary, Filter):
        return (BoundaryPart(filter=boundary, after=after or START),)
    if after is not None and boundary is None:
        raise InvalidRequest("a position says nothing without a boundary; pass both, or neither")
    if boundary is None:
        return None
    if not isinstance(boundary, Sequence) or not all(map(_is_part, boundary)):
        raise InvalidRequest(f"an append cannot take {boundary!r} as its boundary")
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
        and all(isinstance(own, OwnRange) for own in part.besides)
    )


def _digest(events: tuple[Event, ...], parts: tuple[BoundaryPart, ...] | None) -> bytes:
    """Digest what the caller asked for; not when or by whom, which differ when it asks again, nor in which order."""
    filters = sorted({part.filter.digest for part in parts or ()})
    boundary = filters[0] if len(filters) == 1 else hashlib.blake2b(b"".join(filters), digest_size=16).digest()
    hashed = hashlib.blake2b(boundary if filters else b"", digest_size=16)
    for event in events:
        for text in (event.type.encode(), canonical(decode_object(event.payload_text))):
            hashed.update(len(text).to_bytes(8, "big") + text)
    return hashed.digest()
