"""Views: named folds with a key. A view never sees a command, which makes its states safe to share."""

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

# It becomes a word on the command line and part of a stored state's name.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
_RECENT_PARTS = 1024
# The largest integer of PostgreSQL's type of that name.
_MOST = 2**31 - 1


class _WithOneValue(Protocol[One_contra, S_co]):
    def at(self, key: One_contra, /) -> Part[S_co]: ...


class _WithTwoValues(Protocol[One_contra, Two_contra, S_co]):
    def at(self, first: One_contra, second: Two_contra, /) -> Part[S_co]: ...


class _WithThreeValues(Protocol[One_contra, Two_contra, Three_contra, S_co]):
    def at(self, first: One_contra, second: Two_contra, third: Three_contra, /) -> Part[S_co]: ...


@final
class View(Generic[K, S]):
    """A fold over the events that concern one thing, or over all of a kind.

    Every function is pure, asks no clock, and gets nothing but the key, in the type that ``events`` declares for it
    (without one, as payloads hold it). States and events are immutable.

    Args:
        name: Up to 50 small letters, digits, ``_`` and ``-``, beginning with a letter.
        events: Which events it is made of. Its parameters are the key: str, bool, int, Decimal, UUID, date, or an
            enumeration of str or int; none for a view about everything.
        initial: The state before any event; called with the key.
        evolve: The state after one more event.
        version: Raise it whenever ``initial`` or ``evolve`` change their meaning: kept and stored states of other
            versions are not used any more.
        stored_every: Store the state whenever so many events have been folded since it was stored last; None: never.

    Raises:
        InvalidView: One of these cannot be; the message says which.
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
        """What the key is made of."""
        return self._form.parameters

    def at(self, *key: K.args, **named: K.kwargs) -> Part[S]:
        """Return the view at a key.

        Raises:
            InvalidKey: The key has too few or too many values, or one of a type that it cannot have.
            InvalidFilter: No event can hold a value of it: it has a NUL character, a lone surrogate, too many digits.
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
        """Return the view at several keys. ``decide`` gets a mapping from key to state.

        Args:
            keys: A value each; for a view whose key has several values, a tuple each.

        Raises:
            InvalidKey, InvalidFilter: As ``at``.
        """
        if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
            raise InvalidKey(f"at_each takes several keys, not {kind_of(keys)}")
        several = len(self.key) != 1
        return Parts((key, self.at(*key) if several and isinstance(key, tuple) else self.at(key)) for key in keys)

    def again(self, part: Part[S]) -> Part[S]:
        """Return a part of it made anew, past what is remembered: ``events`` is called once more."""
        return self._part(part.identity.key, part.key)

    def _part(self, text: str, key: tuple[Scalar, ...]) -> Part[S]:
        values = self._form.values(key)
        function: Callable[..., Filter] = self.events
        try:
            events = function(*values)
        except InvalidFilter as error:
            # The key was fit for a filter; what does not fit is of the view's own making.
            raise InvalidView(f"events of the view {self.name} ({place_of(self.events)}): {error}") from error
        except StopIteration as bug:
            # It would end whoever collects parts, as the last one does, and what the others are would be missed.
            raise RuntimeError(
                f"events of the view {self.name} ({place_of(self.events)}) raised StopIteration"
            ) from bug
        if not isinstance(events, Filter):
            raise InvalidView(
                f"events of the view {self.name} ({place_of(self.events)}) returns a Filter, not {kind_of(events)}"
            )
        return Part(self, text=text, key=key, values=values, events=events)


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Tell whether a function can be called with so many values."""
    try:
        parameters = signature(function)
    except ValueError:  # some built-in types have none
        return True
    try:
        parameters.bind(*[Parameter.empty] * count)
    except TypeError:
        return False
    return True
