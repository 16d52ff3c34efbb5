"""Event versions: the names and fields of each event of a domain, from its first version to the newest.

An event's version is in its metadata, which filters ignore: a filter by type matches all versions. An event without a
version has the first one.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import CodeType

from eventstore import Filter, RecordedEvent
from eventstore.jsontext import canonical
from handlers.errors import InvalidDomain, NewerEvent, UnreadableEvent
from handlers.model import DomainEvent
from handlers.upcaster import NotUpcast, Payload, Upcaster

__all__ = ["EVENT_VERSION", "EventVersions", "Lineage"]

EVENT_VERSION = "event_version"
"""The metadata field with an event's version, if that is not the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The versions of one event.

    Attributes:
        name: The event's present name.
        steps: The event's upcasters, from the first version on; each leads to the next version.
    """

    name: str
    steps: tuple[Upcaster, ...]

    @property
    def newest(self) -> int:
        """The version that the event is recorded in now."""
        return len(self.steps) + 1

    @property
    def names(self) -> frozenset[str]:
        """The event's present and former names."""
        return frozenset((*(step.name for step in self.steps), self.name))

    @property
    def changes(self) -> Mapping[str, int]:
        """Each changed field, with the last version before the change."""
        return {field: step.version for step in self.steps for field in step.changes}

    def name_in(self, version: int) -> str:
        """Return the event's name in a version."""
        return self.name if version == self.newest else self.steps[version - 1].name

    def fingerprint(self) -> list[object]:
        """Return a value that changes whenever older versions of the event could be converted differently."""
        return [self.name, *([step.name, list(step.changes), _written(step.upcast)] for step in self.steps)]


class EventVersions:
    """Converts recorded events into their newest version.

    Args:
        domain: The domain's name.
        events: The domain's event classes.
        upcasters: The domain's upcasters, in any order.

    Attributes:
        lineages: The lineages of events that have changed, by every present and former name.

    Raises:
        InvalidDomain: Two upcasters read, or lead to, the same version; a version is missing; renamings form a circle;
            or an upcaster leads to no event of the domain, or would convert one of its present events into another.
    """

    def __init__(self, domain: str, events: Iterable[type[DomainEvent]], upcasters: Iterable[Upcaster]) -> None:
        self._domain = domain
        names = [event.__name__ for event in events]
        reading: dict[tuple[str, int], Upcaster] = {}
        leading: defaultdict[tuple[str, int], list[Upcaster]] = defaultdict(list)
        for step in upcasters:
            if (other := reading.setdefault((step.name, step.version), step)) is not step:
                raise self._refusal(f"two upcasters read version {step.version} of {step.name}: {_both(other, step)}")
            if step.renamed_to is not None and step.name in names:
                raise self._refusal(
                    f"{step} ({step.place}) makes it a {step.target}, and the domain lists {step.name} as an event of "
                    "today: filters by that type would mean two things; give one of them another name"
                )
            leading[step.target, step.version + 1].append(step)
        self.lineages: dict[str, Lineage] = {}
        for name in names:
            if (lineage := self._lineage(name, leading)) is not None:
                for each in lineage.names:
                    self._enter(each, lineage)
        used = {step for lineage in self.lineages.values() for step in lineage.steps}
        for step in reading.values():
            if step not in used:
                raise self._refusal(self._astray(step, reading))

    def newest(self, name: str) -> int:
        """Return the version in which an event with this name is recorded now."""
        lineage = self.lineages.get(name)
        return 1 if lineage is None else lineage.newest

    def payload(self, event: RecordedEvent) -> Payload:
        """Return a recorded event's payload in its newest version.

        Raises:
            NewerEvent: Its version is later than those that are known.
            UnreadableEvent: Its version is invalid, it had another name in that version, or an upcaster failed.
        """
        version = event.metadata.get(EVENT_VERSION, 1)
        lineage = self.lineages.get(event.type)
        if type(version) is not int or version < 1:
            raise _unreadable(event, f"its metadata has the {EVENT_VERSION} {version!r}, which is an integer from 1")
        newest = 1 if lineage is None else lineage.newest
        if version > newest:
            raise NewerEvent.at(
                event.sequence_number,
                event.type,
                f"it was recorded in version {version}, and the domain {self._domain} knows no later one than "
                f"{newest}; use the program that records it, or add an upcaster",
            )
        if lineage is None:
            return event.payload
        if (name := lineage.name_in(version)) != event.type:
            raise _unreadable(event, f"it says that it has version {version}, in which such an event is called {name}")
        payload = event.payload
        for step in lineage.steps[version - 1 :]:
            try:
                payload = step.applied(payload)
            except NotUpcast as failure:
                raise _unreadable(event, str(failure)) from failure.__cause__
        return payload

    def is_older(self, event: RecordedEvent) -> bool:
        """Whether an event was recorded in an older version, or in an invalid one."""
        lineage = self.lineages.get(event.type)
        return lineage is not None and event.metadata.get(EVENT_VERSION, 1) != lineage.newest

    def digest(self, asked: Filter) -> bytes:
        """Return a digest that separates states folded from a filter's events by the upcasters of these.

        It equals the filter's own digest as long as none of its events has changed.
        """
        types = {name for item in asked.items for name in item.event_types}
        any_type = not all(item.event_types for item in asked.items)
        concerned = {
            lineage.name: lineage
            for lineage in self.lineages.values()
            if any_type or not types.isdisjoint(lineage.names)
        }
        if not concerned:
            return asked.digest
        written = canonical([concerned[name].fingerprint() for name in sorted(concerned)])
        return hashlib.blake2b(asked.digest + written, digest_size=16).digest()

    def _lineage(self, name: str, leading: Mapping[tuple[str, int], list[Upcaster]]) -> Lineage | None:
        """Follow an event's versions back to the first; None if it has only one."""
        newest = max((version for target, version in leading if target == name), default=1)
        steps: list[Upcaster] = []
        at = name
        for version in range(newest, 1, -1):
            found = leading.get((at, version), [])
            if not found:
                raise self._refusal(f"no upcaster leads to version {version} of {at}, though one reads it")
            if len(found) > 1:
                raise self._refusal(f"two upcasters lead to version {version} of {at}: {_both(*found[:2])}")
            steps.insert(0, found[0])
            if found[0].name != at and found[0].name in {step.target for step in steps}:
                raise self._refusal(
                    f"{found[0].name} is renamed to {found[0].target} and back by version {newest} ({found[0].place}): "
                    "filters by that type would mean two things; give the last one a name of its own"
                )
            at = found[0].name
        return Lineage(name=name, steps=tuple(steps)) if steps else None

    def _enter(self, name: str, lineage: Lineage) -> None:
        if (other := self.lineages.setdefault(name, lineage)) is not lineage:
            raise self._refusal(f"{name} becomes both {other.name} and {lineage.name}; it can be read as one of them")

    def _astray(self, step: Upcaster, reading: Mapping[tuple[str, int], Upcaster]) -> str:
        """Return the reason why an upcaster leads to no event of the domain."""
        seen: set[str] = set()
        at, version = step.name, step.version
        while (following := reading.get((at, version))) is not None:
            if following.renamed_to is not None and following.target in seen:
                return f"{step} ({step.place}) leads back to {following.target}, and to no event of the domain"
            seen.add(at)
            at, version = following.target, version + 1
        return (
            f"{step} ({step.place}) leads to version {version} of {at}, and the domain lists no such event or none "
            "that has this version; add it to its events, or an upcaster that is missing"
        )

    def _refusal(self, problem: str) -> InvalidDomain:
        return InvalidDomain(f"the domain {self._domain}: {problem}")


def _both(first: Upcaster, second: Upcaster) -> str:
    return f"{first.place} and {second.place}"


def _unreadable(event: RecordedEvent, why: str) -> UnreadableEvent:
    return UnreadableEvent.at(event.sequence_number, event.type, why)


def _written(function: object) -> object:
    """Return a fingerprint of a function's own code, without the functions that it calls."""
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None)
    return _code(code) if isinstance(code, CodeType) else getattr(function, "__qualname__", type(function).__qualname__)


def _code(code: CodeType) -> object:
    constants = [_code(each) if isinstance(each, CodeType) else _constant(each) for each in code.co_consts]
    return [code.co_code.hex(), constants, list(code.co_names)]


def _constant(value: object) -> object:
    # The members of a set have no defined order.
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
