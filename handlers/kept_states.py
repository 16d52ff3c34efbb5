"""Kept states: the states of parts, each with its position, so that the next decision reads only what is new."""

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
# What an entry costs besides its state: its identity, position and place.
_ENTRY_BYTES = 600
# How many members of a collection are measured, by how deep it lies.
_SAMPLES = (64, 16, 4, 1)
_MOST_MEASURED = 20_000
# Of so many classes the fields are remembered.
_MOST_CLASSES = 1000
_known_fields: dict[type, tuple[str, ...] | None] = {}
# Of an object that cannot tell.
_UNKNOWN_BYTES = 1000
_LEAVES = frozenset({str, bytes, int, float, bool, type(None)})
_SIMPLE = (str, bytes, int, float)
_SHARED = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType)


class KeptState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part's state with the position up to which it is folded.

    Attributes:
        state: The state.
        position: How far the log was read.
        events: How many events it was folded from.
        stored: How many of these the stored state was folded from; 0 without one.
        read_at: When the store was asked, by ``time.monotonic``: nothing is missing that the server had before.
        replica: Whether that server was a replica, which may have lagged.
    """

    state: Any
    position: Position = START
    events: int = 0
    stored: int = 0
    read_at: float = 0.0
    replica: bool = False


class StateCache(Protocol):
    """What is known of parts, and what is learned."""

    def find(self, part: Part[Any]) -> KeptState | None:
        """Return what is kept of a part."""

    def keep(self, part: Part[Any], kept: KeptState) -> None:
        """Keep a part's state, unless a newer one is kept already."""

    def forget(self) -> None:
        """Forget everything."""


@dataclass(slots=True)
class _Entry:
    kept: KeptState
    size: int
    measured: int


class KeptStates:
    """A cache that is bounded by count and by bytes; what was not used for longest goes first.

    A state that is behind costs a read of what is new, or at worst a conflict; it never makes an outcome wrong, since
    every outcome is validated from the position that its state has. Entries only move forward.

    Args:
        most: The most states to keep; 0 keeps none.
        most_bytes: About how many bytes they may have together.
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
        """About how many bytes the states have together."""
        return self._bytes

    def find(self, part: Part[Any]) -> KeptState | None:
        """Return what is kept of a part."""
        entry = self._entries.get(part.identity)
        if entry is None:
            return None
        self._entries.move_to_end(part.identity)
        return entry.kept

    def keep(self, part: Part[Any], kept: KeptState) -> None:
        """Keep a part's state, unless a newer one is kept already, or it is larger than all may be together."""
        identity = part.identity
        entry = self._entries.get(identity)
        if entry is None:
            entry = self._entries[identity] = _Entry(kept, 0, 0)
            self._measure(entry)
        elif kept.position.number < entry.kept.position.number:
            return
        else:
            entry.kept = kept
            # States grow with their events. Measured at every doubling, they cost no more to measure than to fold.
            if kept.events >= 2 * entry.measured:
                self._measure(entry)
        if entry.size > self._most_bytes:
            # It alone goes: the others would have to, and it would find no room all the same.
            self._drop(identity)
            return
        self._entries.move_to_end(identity)
        while self._entries and (len(self._entries) > self._most or self._bytes > self._most_bytes):
            self._drop(next(iter(self._entries)))

    def forget(self) -> None:
        """Forget everything: the history that it was folded from is not the store's any more."""
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
    """Estimate how many bytes a state holds, in bounded time, whatever its size and whatever it is.

    Of a large collection a sample is measured; the others are taken to be like it. Classes and functions are shared,
    and do not count.
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
        except BaseException:  # noqa: BLE001  whatever an object of somebody's has against being looked at
            total += weight * _UNKNOWN_BYTES
    return int(total)


def _members(value: object, weight: float, depth: int) -> list[tuple[object, float, int]]:
    """Return what an object holds, each member with how many it stands for."""
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
    """Return the fields of a dataclass; None for any other class."""
    try:
        return _known_fields[kind]
    except KeyError:
        names = tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None
        if len(_known_fields) < _MOST_CLASSES:
            _known_fields[kind] = names
        return names


def _names(slots: str | Iterable[str]) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots
