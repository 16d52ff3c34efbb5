"""Readability: the events of a log that the domains can read, and those that their filters would never find."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eventstore import RecordedEvent, Scalar
from handlers.contained import Contained
from handlers.domain import Domain
from handlers.errors import UnreadableEvent
from handlers.event_versions import EVENT_VERSION
from handlers.model import DomainEvent

__all__ = ["Readability", "TypeReadability"]

_MOST = 1000
"""The largest number of distinct types and versions. Domains list far fewer; a log may hold any number."""


@dataclass(slots=True, kw_only=True)
class TypeReadability:
    """The result for the events of one type and version.

    Attributes:
        type: The event type, as recorded; None for the events beyond the largest number of types.
        version: The event version; None if it is not an integer.
        domain: The domain that lists the type; None if none does.
        events: The number of these events.
        unreadable: The number of these that cannot be read.
        missed: The number of these that are read with a value that no filter finds, since the model fills in a missing
            field.
        first: The sequence number of the first event that cannot be read or would be missed; None if there is none.
        field: The JSON name of the field that causes it; None if it is unknown.
        reason: The reason for that first event; None if there is none.
    """

    type: str | None
    version: int | None
    domain: str | None
    events: int = 0
    unreadable: int = 0
    missed: int = 0
    first: int | None = None
    field: str | None = None
    reason: str | None = None

    def blame(self, number: int, field: str | None, reason: str) -> None:
        """Record the reason why an event cannot be read or would be missed, unless there is an earlier one."""
        if self.first is None:
            self.first, self.field, self.reason = number, field, reason


class Readability:
    """Checks events one by one, in order, in constant memory.

    Args:
        domains: The domains whose models and upcasters read the events.
        ignored: Event types that no domain needs to list; by default none.
    """

    def __init__(self, domains: Sequence[Domain], ignored: Collection[str] = ()) -> None:
        self._owners: dict[str, Domain] = {}
        self._asked: dict[str, dict[str, str]] = {}
        for domain in domains:
            for name in domain.event_models:
                # If two domains share an event, both read it alike.
                self._owners.setdefault(name, domain)
            for name, field, view in domain.examination.asked():
                self._asked.setdefault(name, {}).setdefault(field, view)
        self._ignored = frozenset(ignored)
        self._found: dict[tuple[str, int | None], TypeReadability] = {}
        self._others = TypeReadability(type=None, version=None, domain=None)

    def __iter__(self) -> Iterator[TypeReadability]:
        """Iterate over the results by type and version, sorted; events beyond the limit come last, as one."""
        for key in sorted(self._found, key=lambda key: (key[0], key[1] or 0)):
            yield self._found[key]
        if self._others.events:
            yield self._others

    def take(self, event: RecordedEvent) -> None:
        """Check the next event."""
        domain = self._owners.get(event.type)
        found = self._of(event, domain)
        found.events += 1
        if domain is None:
            if event.type not in self._ignored:
                found.unreadable += 1
                found.blame(event.sequence_number, None, "no domain of WORKER_DOMAINS lists it")
            return
        try:
            fact = domain.recorded(event)
        except UnreadableEvent as error:
            found.unreadable += 1
            found.blame(event.sequence_number, next(iter(error.fields), None), error.reason)
            return
        asked = self._asked.get(event.type, {})
        if (lacking := asked.keys() - event.payload.keys()) and (filled := _filled(domain, fact, lacking)):
            field = min(filled)
            found.missed += 1
            found.blame(
                event.sequence_number,
                field,
                f"{field} is missing and read as {filled[field]!r}, by which the view {asked[field]} does not find it: "
                "a filter sees what was recorded; let the view look at another field",
            )

    def _of(self, event: RecordedEvent, domain: Domain | None) -> TypeReadability:
        given = event.metadata.get(EVENT_VERSION, 1)
        version = given if type(given) is int else None
        key = (event.type, version)
        if (found := self._found.get(key)) is None:
            if len(self._found) >= _MOST:
                return self._others
            name = None if domain is None else domain.name
            found = self._found[key] = TypeReadability(type=event.type, version=version, domain=name)
        return found


def _filled(domain: Domain, fact: DomainEvent, lacking: Collection[str]) -> dict[str, Any]:
    """Return the fields that only the event's model fills in, each with the value that a predicate would need."""
    try:
        with Contained():
            payload = domain.to_record(fact, {}).recorded(1, 0).payload
    except Exception:  # noqa: BLE001  a serializer of the domain may raise anything; the event can be read, at least
        return {}
    return {name: payload[name] for name in lacking if isinstance(payload.get(name), Scalar)}
