"""Appends: what one asks for, as a member of a chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from opentelemetry.context import Context

from eventstore.boundary import Boundary
from eventstore.events import Event
from eventstore.position import Position
from eventstore.receipt import ACCEPTED, Outcome

__all__ = ["LONGEST_CHAIN", "Append"]

LONGEST_CHAIN = 128
"""How many members a chain may have: it is recorded in one transaction, during which everybody else waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """One member of a chain: the arguments of ``EventStore.append``, which describes them.

    Attributes:
        events: What to record.
        boundary: Which events would have changed the decision, besides those of earlier members.
        after: How far the decision's query saw, if the boundary is a filter.
        key: Makes it idempotent. Every member needs one.
        scope: Whose key it is.
        digest: What tells the key's request from another.
        outcome: What the receipt will say.
        context: Where its span belongs; the current context if None.
    """

    events: Sequence[Event]
    boundary: Boundary | None = None
    after: Position | None = None
    key: UUID | None = None
    scope: str = ""
    digest: bytes | None = None
    outcome: Outcome = ACCEPTED
    context: Context | None = None
