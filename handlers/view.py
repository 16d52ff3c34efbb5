"""Views: named folds with a key. A view never sees a command, so its states can be shared."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from inspect import Parameter, signature
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, final, overload

from eventstore import Filter, InvalidFilter, Scalar
from handlers.errors import InvalidKey, InvalidView
from handlers.key import KeyForm, KeyParameter
from handlers.kind import kind_of
from handlers.model import DomainEvent
from handlers.part import Part, Parts
from handlers.place import place_of
from handlers.plain_function import refusal

__all__ = ["View"]

K = ParamSpec("K")
S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
One = TypeVar("One")
Two = TypeVar("Two")
Three = TypeVar("Three")
One_contra = TypeVar("One_contra", contravariant=True)
Two_contra = TypeVar("Two_contra", contravariant=True)
Three_contra = TypeVar("Three_contra", contravariant=True)

# The name is an argument on the command line, and part of a stored state's key.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
_RECENT_PARTS = 1024
# The largest value of PostgreSQL's integer.
_MOST = 2**31 - 1


class _WithOneValue(Protocol[One_contra, S_co]):
    def at(self, key: One_contra, /) -> Part[S_co]: ...


class _WithTwoValues(Protocol[One_contra, Two_contra, S_co]):
    def at(self, first: One_contra, second: Two_contra, /) -> Part[S_co]: ...


class _WithThreeValues(Protocol[One_contra, Two_contra, Three_contra, S_co]):
    def at(self, first: One_contra, second: Two_contra, third: Three_contra, /) -> Part[S_co]: ...


@final
class View(Generic[K, S]):
    """A fold over the events that concern one thing, or over all events of some kind.

    Every function is pure, uses no clock, and gets only the key, in the type that ``events`` declares for it (without
    one, in its payload form). States and events are immutable.

    Args:
        name: The view's name: up to 50 small letters, digits, ``_`` and ``-``, beginning with a letter.
        events: Returns the filter that selects the events. Its parameters are the key: str, bool, int, Decimal, UUID,
            date, or an enumeration of str or int; none for a view of everything.
        initial: Returns the state before any event; called with the key.
        evolve: Returns the state after one more event; called with the state and the event.
        version: The version, by default 1. Raise it whenever ``initial`` or ``evolve`` changes its meaning: kept and
            stored states of other versions are no longer used.
        stored_every: The number of folded events after which the state is stored again; None, the default, for never.

    Raises:
        InvalidView: An argument is invalid; the message says which.
    """

    __slots__ = ("_form", "_recent", "events", "evolve", "initial", "name", "stored_every", "version")

    def __init__(
        self,
        *,
        name: str,
        events: Callable[K, Filter],
        initial: Callable[..., S],
        evolve: Callable[[S, DomainEvent], S],
        version: int = 1,
        stored_every: int | None = None,
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidView(
                f"a view's name is up to 50 small letters, digits, _ and -, and begins with a letter; {name!r} is not"
            )
        for what, number in (("version", version), ("stored_every", 1 if stored_every is None else stored_every)):
            if type(number) is not int or not 1 <= number <= _MOST:
                raise InvalidView(f"the view {name} has the {what} {number!r}; it is an integer from 1 to {_MOST}")
        for what, function in (("events", events), ("initial", initial), ("evolve", evolve)):
            if (problem := refusal(function)) is not None:
                raise InvalidView(f"the view {name} needs a function as its {what}, {problem}")
        self.name = name
        self.events = events
        self.initial = initial
        self.evolve = evolve
        self.version = version
        self.stored_every = stored_every
        self._form = KeyForm(name, events)
        if not _takes(initial, len(self._form.parameters)):
            raise InvalidView(
                f"initial of the view {name} is called with the key, as events is; it takes something else"
            )
        if not _takes(evolve, 2):
            raise InvalidView(f"evolve of the view {name} is called with a state and an event; it takes something else")
        self._recent = lru_cache(maxsize=_RECENT_PARTS)(self._part)

    def __repr__(self) -> str:
        return f"View({self.name}, version {self.version})"

    @property
    def key(self) -> tuple[KeyParameter, ...]:
        """The parameters of the key."""
        return self._form.parameters

    def at(self, *key: K.args, **named: K.kwargs) -> Part[S]:
        """Return the part for a key.

        Raises:
            InvalidKey: The key has too few or too many values, or one of a type that is not allowed.
            InvalidFilter: No event can hold a value of the key: it has a NUL character, a lone surrogate, or too many
                digits.
        """
        return self._recent(*self._form.canonical(key, named))

    @overload
    def at_each(self: _WithOneValue[One, S_co], keys: Iterable[One]) -> Parts[One, S_co]: ...
    @overload
    def at_each(
        self: _WithTwoValues[One, Two, S_co], keys: Iterable[tuple[One, Two]]
    ) -> Parts[tuple[One, Two], S_co]: ...
    @overload
    def at_each(
        self: _WithThreeValues[One, Two, Three, S_co], keys: Iterable[tuple[One, Two, Three]]
    ) -> Parts[tuple[One, Two, Three], S_co]: ...
    def at_each(self: Any, keys: Iterable[Any]) -> Parts[Any, Any]:
        """Return the parts for several keys. ``decide`` gets a mapping from key to state.

        Args:
            keys: The keys: one value each, or a tuple each if the view's key has several values.

        Raises:
            InvalidKey, InvalidFilter: A key is invalid, as in ``at``.
        """
        if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
            raise InvalidKey(f"at_each takes several keys, not {kind_of(keys)}")
        several = len(self.key) != 1
        return Parts((key, self.at(*key) if several and isinstance(key, tuple) else self.at(key)) for key in keys)

    def again(self, part: Part[S]) -> Part[S]:
        """Build a part again, bypassing the cache: ``events`` is called once more."""
        return self._part(part.identity.key, part.key)

    def _part(self, text: str, key: tuple[Scalar, ...]) -> Part[S]:
        values = self._form.values(key)
        function: Callable[..., Filter] = self.events
        try:
            events = function(*values)
        except InvalidFilter as error:
            # The key was valid for a filter; the invalid value comes from the view's own code.
            raise InvalidView(f"events of the view {self.name} ({place_of(self.events)}): {error}") from error
        except StopIteration as bug:
            # A caller that iterates over parts would take it for their end, and miss the rest.
            raise RuntimeError(
                f"events of the view {self.name} ({place_of(self.events)}) raised StopIteration"
            ) from bug
        if not isinstance(events, Filter):
            raise InvalidView(
                f"events of the view {self.name} ({place_of(self.events)}) returns a Filter, not {kind_of(events)}"
            )
        return Part(self, text=text, key=key, values=values, events=events)


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Return whether a function can be called with ``count`` positional arguments."""
    try:
        parameters = signature(function)
    except ValueError:  # some built-in types have no signature
        return True
    try:
        parameters.bind(*[Parameter.empty] * count)
    except TypeError:
        return False
    return True
