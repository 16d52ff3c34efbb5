"""Kept states: a cache of parts' states with their positions, so that the next decision reads only new events."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import islice
from sys import getsizeof
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Protocol

import msgspec

from eventstore import START, Position
from handlers.part import Part, PartIdentity

__all__ = ["KeptState", "KeptStates", "StateCache", "state_size"]

_MOST_STATES = 10_000
_MOST_BYTES = 64 * 1024 * 1024
# The approximate size in bytes of an entry without its state: identity, position and bookkeeping.
_ENTRY_BYTES = 600
# The number of members of a collection that are measured, by depth.
_SAMPLES = (64, 16, 4, 1)
_MOST_MEASURED = 20_000
# The number of classes whose fields are cached.
_MOST_CLASSES = 1000
_known_fields: dict[type, tuple[str, ...] | None] = {}
# The assumed size of an object that does not report one.
_UNKNOWN_BYTES = 1000
_LEAVES = frozenset({str, bytes, int, float, bool, type(None)})
_SIMPLE = (str, bytes, int, float)
_SHARED = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType)


class KeptState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part's state with the position up to which events are folded.

    Attributes:
        state: The state.
        position: The position that the log was read up to.
        events: The number of events that were folded into the state.
        stored: The number of these that the stored state includes; 0 without one.
        read_at: When the store was asked, by ``time.monotonic``: the state includes everything that the server had
            before.
        replica: Whether the server was a replica, which may have lagged.
    """

    state: Any
    position: Position = START
    events: int = 0
    stored: int = 0
    read_at: float = 0.0
    replica: bool = False


class StateCache(Protocol):
    """A cache of the states of parts."""

    def find(self, part: Part[Any]) -> KeptState | None:
        """Return the kept state of a part, or None."""

    def keep(self, part: Part[Any], kept: KeptState) -> None:
        """Keep a part's state, unless a newer one is kept already."""

    def forget(self) -> None:
        """Drop all kept states."""


@dataclass(slots=True)
class _Entry:
    kept: KeptState
    size: int
    measured: int


class KeptStates:
    """A cache that is limited by count and size; the least recently used states are dropped first.

    An outdated state costs a read of the new events, or at worst a conflict. It cannot make an outcome wrong, since
    every outcome is checked from the position of its state. Entries only move forward.

    Args:
        most: The largest number of states; 0 keeps none. By default 10,000.
        most_bytes: The approximate limit of their total size in bytes; by default 64 MiB.
    """

    def __init__(self, most: int = _MOST_STATES, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._entries: OrderedDict[PartIdentity, _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """The approximate total size of the states in bytes."""
        return self._bytes

    def find(self, part: Part[Any]) -> KeptState | None:
        """Return the kept state of a part, or None."""
        entry = self._entries.get(part.identity)
        if entry is None:
            return None
        self._entries.move_to_end(part.identity)
        return entry.kept

    def keep(self, part: Part[Any], kept: KeptState) -> None:
        """Keep a part's state, unless a newer one is kept already, or it alone exceeds the limit of the total size."""
        identity = part.identity
        entry = self._entries.get(identity)
        if entry is None:
            entry = self._entries[identity] = _Entry(kept, 0, 0)
            self._measure(entry)
        elif kept.position.number < entry.kept.position.number:
            return
        else:
            entry.kept = kept
            # States grow with their events. Measured at every doubling, a state costs no more to measure than to fold.
            if kept.events >= 2 * entry.measured:
                self._measure(entry)
        if entry.size > self._most_bytes:
            # Only this one is dropped: dropping all others would not make enough room for it.
            self._drop(identity)
            return
        self._entries.move_to_end(identity)
        while self._entries and (len(self._entries) > self._most or self._bytes > self._most_bytes):
            self._drop(next(iter(self._entries)))

    def forget(self) -> None:
        """Drop all kept states, because their history is no longer the store's."""
        self._entries.clear()
        self._bytes = 0

    def _drop(self, identity: PartIdentity) -> None:
        self._bytes -= self._entries.pop(identity).size

    def _measure(self, entry: _Entry) -> None:
        self._bytes -= entry.size
        entry.size = _ENTRY_BYTES + state_size(entry.kept.state)
        entry.measured = max(entry.kept.events, 1)
        self._bytes += entry.size


def state_size(state: object) -> int:
    """Estimate the size of any state in bytes, in bounded time.

    A sample of a large collection is measured and extrapolated. Classes and functions are shared, and do not count.
    """
    if type(state) in _LEAVES:
        return getsizeof(state)
    total = 0.0
    waiting: list[tuple[object, float, int]] = [(state, 1.0, 0)]
    for _ in range(_MOST_MEASURED):
        if not waiting:
            break
        value, weight, depth = waiting.pop()
        if type(value) in _LEAVES:
            total += weight * getsizeof(value)
            continue
        if isinstance(value, _SHARED):
            continue
        try:
            total += weight * getsizeof(value, _UNKNOWN_BYTES)
            if depth < len(_SAMPLES) and not isinstance(value, _SIMPLE):
                waiting.extend(_members(value, weight, depth))
        except BaseException:  # noqa: BLE001  an object of the domain may raise anything when it is inspected
            total += weight * _UNKNOWN_BYTES
    return int(total)


def _members(value: object, weight: float, depth: int) -> list[tuple[object, float, int]]:
    """Return the members of an object, each with the number of members that it represents."""
    if (names := _field_names(type(value))) is not None:
        return [(getattr(value, name, None), weight, depth) for name in names]
    if isinstance(value, Collection):
        members: list[object] = list(islice(value, _SAMPLES[depth]))
        if isinstance(value, Mapping):
            members += [value[key] for key in members]
        share = weight * len(value) / _SAMPLES[depth] if len(value) > _SAMPLES[depth] else weight
        return [(member, share, depth + 1) for member in members]
    slots = [name for each in type(value).__mro__ for name in _names(getattr(each, "__slots__", ()))]
    held = [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]
    return [(member, weight, depth) for member in held]


def _field_names(kind: type) -> tuple[str, ...] | None:
    """Return the names of a dataclass's fields; None for any other class."""
    try:
        return _known_fields[kind]
    except KeyError:
        names = tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None
        if len(_known_fields) < _MOST_CLASSES:
            _known_fields[kind] = names
        return names


def _names(slots: str | Iterable[str]) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots
