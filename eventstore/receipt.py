"""Receipts: the stored answers to appends."""

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
    """The outcome of a command."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome that a receipt states, as the caller gave it. The store keeps it and does not interpret it.

    Attributes:
        kind: The kind of outcome: accepted, rejected, or unchanged.
        reason: The reason for a rejection, or None.
        details: A JSON object of anything else that the caller wants to find again, such as the command's type; by
            default empty. It is converted to the form in which it is read back: fractions are ``Decimal``, dates are
            strings.

    Raises:
        InvalidRequest: The kind is unknown, or the reason or details cannot be stored.
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
        # Plain values read back unchanged.
        plain = _NAMES.issuperset(map(type, self.details)) and _PLAIN.issuperset(map(type, self.details.values()))
        object.__setattr__(self, "details", dict(self.details) if plain else decode_object(text))
        object.__setattr__(self, "details_text", text)


ACCEPTED = Outcome(kind=OutcomeKind.ACCEPTED)
"""The default outcome of an append."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to an append.

    Attributes:
        key: The append's idempotency key, or None; only receipts with a key are stored.
        outcome: The outcome that the caller gave to the append.
        first: The sequence number of the first recorded event, or None if there were no events.
        last: The sequence number of the last recorded event, or None if there were no events.
        position: The head of the log when the append was recorded, its own events included. A read with this
            ``min_position`` sees them.
        recorded_at: When the receipt was stored, by the database's clock; None without a key.
        duplicate: Whether the key had this receipt already, so that nothing was recorded.
        scope: The namespace of the key, as stored: empty if the append named none, or if a release without scopes wrote
            the receipt.
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
    """Check the scope of an idempotency key.

    Raises:
        InvalidRequest: The scope is no string, is longer than 200 characters, or has a NUL character or a lone
            surrogate.
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
    """Return whether a receipt answers a key of this scope.

    True for a receipt with this scope, and for one without a scope whose details name it as their ``domain``, as
    releases without scopes wrote it.
    """
    return receipt.scope == scope or (receipt.scope == "" and receipt.outcome.details.get("domain") == scope)
