"""States: folded histories, kept so that the next command of a boundary reads only what has come since."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from eventstore import Filter, Position
from handlers.decider import Decider

__all__ = ["Identity", "Known", "States", "identity_of"]

_MOST_STATES = 10_000

Identity = tuple[str, int, bytes]
"""Decider, fold version, and the boundary's digest."""


def identity_of(decider: Decider[Any, Any], boundary: Filter) -> Identity:
    """Tell the state of a boundary, as a decider folds it, from all others."""
    return decider.name, decider.version, boundary.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A state with the position up to which it is folded.

    Attributes:
        state: The state.
        position: How far the log was.
    """

    state: Any
    position: Position


class States:
    """A bounded cache; what was not used for longest goes first.

    A state that is behind costs a tail read, or at worst a conflict; it never makes an outcome wrong, since every
    outcome is validated from the position that was read. Entries only move forward.

    Args:
        capacity: The most states to keep.
    """

    def __init__(self, capacity: int = _MOST_STATES) -> None:
        self._capacity = capacity
        self._known: OrderedDict[Identity, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, identity: Identity) -> Known | None:
        """Return what is known."""
        known = self._known.get(identity)
        if known is not None:
            self._known.move_to_end(identity)
        return known

    def keep(self, identity: Identity, known: Known) -> None:
        """Keep a state, unless a newer one is kept already."""
        earlier = self._known.get(identity)
        if earlier is not None and earlier.position.number > known.position.number:
            return
        self._known[identity] = known
        self._known.move_to_end(identity)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)

    def forget(self) -> None:
        """Forget everything: the history that it was folded from is not the store's any more."""
        self._known.clear()
