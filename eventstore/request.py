"""An append, checked and ready to be judged."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from uuid import UUID

from eventstore.errors import InvalidRequest
from eventstore.events import Event
from eventstore.filter import Filter
from eventstore.jsontext import canonical, decode_object
from eventstore.position import START, Position
from eventstore.receipt import Outcome
from eventstore.store import LONGEST_CHAIN, Append

__all__ = ["AppendRequest", "check_batch_size", "check_limit"]

# Chains of one process share batches: they must not be taken for each other.
_chains = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendRequest:
    """What a caller asked of ``append``, with its defaults filled in. Every engine judges this value.

    Attributes:
        events: What to record.
        boundary: What must not have changed, or None.
        after: How far the caller had seen; the start without a boundary.
        key: The idempotency key, or None.
        digest: What tells the key's request from another.
        outcome: What the receipt will say.
        chain: What it shares with those of its chain, or None.
    """

    events: tuple[Event, ...]
    boundary: Filter | None
    after: Position
    key: UUID | None
    digest: bytes
    outcome: Outcome
    chain: int | None = None

    @property
    def size(self) -> int:
        """How many bytes its events have, about."""
        return sum(len(event.payload_text) + len(event.metadata_text) for event in self.events)

    @classmethod
    def of(
        cls,
        events: Sequence[Event],
        *,
        boundary: Filter | None,
        after: Position | None,
        key: UUID | None,
        digest: bytes | None,
        outcome: Outcome,
    ) -> "AppendRequest":
        """Check the arguments of ``EventStore.append``, which describes them.

        Raises:
            InvalidRequest: ``after`` without a boundary, a digest that is empty or longer than 64 bytes, or an argument
                of another type: found here, it cannot disturb the requests that share its transaction.
        """
        recorded = tuple(events)
        for name, part, kinds in (
            ("boundary", boundary, Filter | None),
            ("position", after, Position | None),
            ("key", key, UUID | None),
            ("outcome", outcome, Outcome),
            *(("event", event, Event) for event in recorded),
        ):
            if not isinstance(part, kinds):
                raise InvalidRequest(f"an append cannot take {part!r} as its {name}")
        if after is not None and boundary is None:
            raise InvalidRequest("a position says nothing without a boundary; pass both, or neither")
        if digest is not None and not 0 < len(digest) <= 64:  # noqa: PLR2004  the longest digest in common use
            raise InvalidRequest("a digest has 1 to 64 bytes")
        return cls(
            events=recorded,
            boundary=boundary,
            after=after or START,
            key=key,
            digest=digest or _digest(recorded, boundary) if key is not None else b"",
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
        chain = next(_chains)
        requests = []
        for each in appends:
            if each.key is None:
                raise InvalidRequest("a member of a chain needs a key")
            request = cls.of(
                each.events,
                boundary=each.boundary,
                after=each.after,
                key=each.key,
                digest=each.digest,
                outcome=each.outcome,
            )
            requests.append(replace(request, chain=chain))
        return requests

    def moved_to(self, position: Position) -> "AppendRequest":
        """Return the same request, judged from a later position up to which its boundary is known to hold."""
        return replace(self, after=position)


def check_batch_size(batch_size: int) -> None:
    """Check an argument of the store's iterators.

    Raises:
        InvalidRequest: Nothing would ever be fetched.
    """
    if batch_size < 1:
        raise InvalidRequest(f"a batch holds 1 or more, not {batch_size}")


def check_limit(limit: int) -> None:
    """Check how many events a caller wants at most.

    Raises:
        InvalidRequest: None.
    """
    if limit < 1:
        raise InvalidRequest(f"a limit is 1 or more, not {limit}")


def _digest(events: tuple[Event, ...], boundary: Filter | None) -> bytes:
    """Digest what the caller asked for; not when or by whom, which differ when it asks again, nor in which order."""
    hashed = hashlib.blake2b(boundary.digest if boundary is not None else b"", digest_size=16)
    for event in events:
        for part in (event.type.encode(), canonical(decode_object(event.payload_text))):
            hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.digest()
