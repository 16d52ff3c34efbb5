"""Parts: what a command reads; each part is a view with a key. A decision's boundary is the list of its parts."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar, final

from eventstore import Filter, Scalar
from handlers.declared import returns_by_mistake
from handlers.errors import InvalidKey, InvalidState
from handlers.kind import kind_of
from handlers.model import DomainEvent
from handlers.place import place_of

if TYPE_CHECKING:
    from handlers.view import View

__all__ = ["Part", "PartIdentity", "Parts", "Reading"]

A_co = TypeVar("A_co", covariant=True)
S_co = TypeVar("S_co", covariant=True)
K = TypeVar("K")


class PartIdentity(NamedTuple):
    """Identifies a part within its domain.

    Attributes:
        view: The view's name.
        version: The view's version.
        key: The canonical text of the key, a JSON array.
        filter_digest: The digest of the filter that selects the part's events.
    """

    view: str
    version: int
    key: str
    filter_digest: bytes


class Reading(ABC, Generic[A_co]):
    """What becomes one argument of ``decide``: a part, or parts of one view."""

    __slots__ = ()

    @property
    @abstractmethod
    def parts(self) -> "tuple[Part[Any], ...]":
        """The parts to read for the argument."""

    @abstractmethod
    def argument(self, states: "Mapping[Part[Any], Any]") -> A_co:
        """Return the argument, given the state of each part."""


@final
class Part(Reading[S_co]):
    """A view with a key. Made by ``View.at``; parts with the same identity are equal.

    Attributes:
        view: The view.
        key: The key's values, in their payload form.
        filter: The filter that selects the part's events.
    """

    __slots__ = ("_hash", "_identity", "_text", "_values", "filter", "key", "view")

    view: "View[..., S_co]"
    key: tuple[Scalar, ...]
    filter: Filter
    _text: str
    _values: tuple[Any, ...]
    _hash: int
    _identity: PartIdentity | None

    def __init__(
        self, view: "View[..., S_co]", *, text: str, key: tuple[Scalar, ...], values: tuple[Any, ...], events: Filter
    ) -> None:
        put = object.__setattr__
        put(self, "view", view)
        put(self, "key", key)
        put(self, "filter", events)
        put(self, "_text", text)
        put(self, "_values", values)
        put(self, "_hash", hash((view.name, view.version, text)))
        put(self, "_identity", None)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a part cannot be changed (tried to set {name})")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Part):
            return NotImplemented
        return self._hash == other._hash and self.identity == other.identity

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"{self.view.name}.at({', '.join(map(repr, self._values))})"

    @property
    def identity(self) -> PartIdentity:
        """Identifies the part within its domain."""
        # Computed on demand: most parts are distinguished without it.
        found = self._identity
        if found is None:
            found = PartIdentity(self.view.name, self.view.version, self._text, self.filter.digest)
            object.__setattr__(self, "_identity", found)
        return found

    @property
    def parts(self) -> "tuple[Part[Any], ...]":
        """The part itself, as a tuple."""
        return (self,)

    def argument(self, states: "Mapping[Part[Any], Any]") -> S_co:
        """Return the part's state."""
        state: S_co = states[self]
        return state

    def initial(self) -> S_co:
        """Return the state before any event, newly made."""
        try:
            return self.view.initial(*self._values)
        except StopIteration as bug:
            raise RuntimeError(f"initial of the view {self.view.name} raised StopIteration at {self!r}") from bug

    def evolved(self, state: Any, fact: DomainEvent, number: int | None = None) -> Any:
        """Return the part's state after one more event of its own.

        Args:
            state: The state before the event.
            fact: The event, as ``Domain.recorded`` returns it.
            number: The event's sequence number, for error messages; None, the default, if it is not recorded.

        Raises:
            InvalidState: ``evolve`` returns None although it declares to return a state.
            Exception: ``evolve`` raised an error.
        """
        evolve = self.view.evolve
        try:
            after = evolve(state, fact)
        except StopIteration as bug:
            raise RuntimeError(self._evolve(fact, number, "raised StopIteration")) from bug
        if after is None and (declared := returns_by_mistake(evolve)) is not None:
            raise InvalidState(
                f"{self._evolve(fact, number, 'returns None')}, and declares to return {declared}; does each of its "
                "branches return the state?"
            )
        return after

    def _evolve(self, fact: DomainEvent, number: int | None, does: str) -> str:
        which = kind_of(fact) if number is None else f"event {number} ({type(fact).__name__})"
        return f"evolve of the view {self.view.name} ({place_of(self.view.evolve)}) {does} at {which}"

    def advanced(self, state: Any, facts: Iterable[DomainEvent]) -> Any:
        """Return the part's state after further events, in order. Raises like ``evolved``."""
        for fact in facts:
            state = self.evolved(state, fact)
        return state


@final
class Parts(Reading[Mapping[K, S_co]]):
    """Parts of one view with several keys. Made by ``View.at_each``; ``decide`` gets a mapping from key to state.

    Args:
        parts: The parts with their keys, in the form given by the caller.
    """

    __slots__ = ("_by_key",)

    def __init__(self, parts: Iterable[tuple[K, Part[S_co]]]) -> None:
        self._by_key: dict[K, Part[S_co]] = {}
        for key, part in parts:
            if self._by_key.setdefault(key, part) != part:
                raise InvalidKey(f"{part!r} and {self._by_key[key]!r} are two keys, but one for Python")

    def __repr__(self) -> str:
        return f"Parts({', '.join(map(repr, self._by_key.values()))})"

    @property
    def parts(self) -> tuple[Part[Any], ...]:
        """The parts, in the order of their keys."""
        return tuple(self._by_key.values())

    def argument(self, states: Mapping[Part[Any], Any]) -> Mapping[K, S_co]:
        """Return the state of each key."""
        return {key: states[part] for key, part in self._by_key.items()}
