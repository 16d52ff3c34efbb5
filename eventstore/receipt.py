"""Receipts: the stored answers to what became of a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

import msgspec
from msgspec.structs import replace

from eventstore.errors import InvalidRequest
from eventstore.jsontext import Unstorable, decode_object, encode_object
from eventstore.position import Position

__all__ = ["ACCEPTED", "Outcome", "OutcomeKind", "Receipt", "answers_scope", "check_scope"]

_LONGEST_SCOPE = 200

_NAMES = frozenset({str})
_PLAIN = frozenset({str, int, bool, type(None)})


class OutcomeKind(StrEnum):
    """What became of a command."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a receipt says became of the request, in the caller's words. The store keeps it and does not judge it.

    Attributes:
        kind: Accepted, rejected, or unchanged.
        reason: Why, for a rejection.
        details: A JSON object of whatever else the caller wants to find again, such as the command's type. It is
            brought into the form in which it comes back: fractions are ``Decimal``, dates are strings.

    Raises:
        InvalidRequest: There is no such kind, or the reason or details cannot be stored.
    """

    kind: OutcomeKind
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    details_text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if type(self.kind) is not OutcomeKind:
            try:
                object.__setattr__(self, "kind", OutcomeKind(self.kind))
            except ValueError:
                kinds = ", ".join(OutcomeKind)
                raise InvalidRequest(f"an outcome is one of {kinds}, not {self.kind!r}") from None
        try:
            if self.reason is not None:
                encode_object({"reason": self.reason})
            text = encode_object(self.details)
        except Unstorable as error:
            raise InvalidRequest(f"the outcome {error}") from None
        # What is plain comes back as it is.
        plain = _NAMES.issuperset(map(type, self.details)) and _PLAIN.issuperset(map(type, self.details.values()))
        object.__setattr__(self, "details", dict(self.details) if plain else decode_object(text))
        object.__setattr__(self, "details_text", text)


ACCEPTED = Outcome(kind=OutcomeKind.ACCEPTED)
"""The outcome of an append that names no other."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to an append.

    Attributes:
        key: The append's idempotency key, or None; only receipts with a key are stored.
        outcome: What the caller said of it.
        first: The first recorded event's sequence number, or None when there were no events.
        last: The last one's, or None.
        position: How far the log was when the append took its turn, its own events included. A read with this
            ``min_position`` sees them.
        recorded_at: When it was stored, by the database's clock; None without a key.
        duplicate: Whether the key had a receipt already, and this is that one.
        scope: Whose key it is, as the receipt is kept: empty if the append named no scope, or a build that knows none
            made it.
    """

    key: UUID | None
    outcome: Outcome
    first: int | None
    last: int | None
    position: Position
    recorded_at: datetime | None
    duplicate: bool = False
    scope: str = ""

    def as_duplicate(self) -> Self:
        """Return the same receipt, marked as the answer to a repeated append."""
        return replace(self, duplicate=True)


def check_scope(scope: str) -> None:
    """Check whose key is meant.

    Raises:
        InvalidRequest: The scope is no string, is longer than 200 characters, or has one that no database takes.
    """
    if not isinstance(scope, str):
        raise InvalidRequest(f"an append cannot take {scope!r} as its scope")
    if not scope.isascii():
        try:
            scope.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"the scope {scope!r} has a lone surrogate") from None
    if len(scope) > _LONGEST_SCOPE or "\x00" in scope:
        raise InvalidRequest(f"a scope has up to {_LONGEST_SCOPE} characters, none of them NUL, unlike {scope!r}")


def answers_scope(receipt: Receipt, scope: str) -> bool:
    """Tell whether a receipt of a key is one in a scope, or a build without scopes has written it for that domain."""
    return receipt.scope == scope or (receipt.scope == "" and receipt.outcome.details.get("domain") == scope)
