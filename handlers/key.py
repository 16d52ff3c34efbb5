"""Keys: the arguments of a view, in one canonical form, so that one key never has two states."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring
from types import NoneType
from typing import Any, get_type_hints
from uuid import UUID

from eventstore import InvalidFilter, P, Scalar
from handlers.errors import InvalidKey, InvalidView
from handlers.key_type import declared_classes, refused_class, reviver, wrong_class

__all__ = ["KeyForm", "KeyParameter"]

_SMALL = 2**63


class KeyParameter:
    """One value of a view's key.

    Attributes:
        name: The name of the parameter of the view's ``events``.
        annotation: The parameter's annotation in ``events``; ``Any`` if it has none.
        types: The classes that a value may have; None for any that a key may have.
    """

    __slots__ = ("_revive", "annotation", "name", "types")

    def __init__(self, name: str, annotation: Any) -> None:
        self.name = name
        self.annotation = annotation
        self.types = declared_classes(annotation)
        self._revive = reviver(self.types)

    @property
    def is_plain(self) -> bool:
        """Whether the view's functions get the values in their payload form."""
        return self._revive is None

    def scalar(self, view: str, value: Any) -> Scalar:
        """Return a value in the form that an event's payload holds.

        Raises:
            InvalidKey: The value's type is not allowed for this parameter, or for any key.
            InvalidFilter: No event can hold the value: it has a NUL character, a lone surrogate, or too many digits.
        """
        if self.types is not None and not self._fits(value):
            declared = " or ".join(each.__name__ for each in self.types)
            raise InvalidKey(f"the view {view} takes {declared} for {self.name}, not {type(value).__name__}")
        return _canonical(view, self.name, value)

    def value(self, scalar: Scalar) -> Any:
        """Return the value for the view's functions: of the declared class if there is one only, else the scalar."""
        return scalar if self._revive is None else self._revive(scalar)

    def _fits(self, value: Any) -> bool:
        kind = type(value)
        if self.types is None or kind in self.types:
            return True
        # In Python a bool is an int, and a datetime is a date; as keys they are not.
        if kind is bool or kind is datetime:
            return False
        return isinstance(value, self.types)


class KeyForm:
    """The form of one view's keys.

    Args:
        view: The view's name.
        events: The view's ``events`` function, whose parameters are the key.

    Attributes:
        parameters: The values of the key, in order.

    Raises:
        InvalidView: ``events`` takes anything but plain parameters, has no readable signature, or declares a type that
            no key can have.
    """

    __slots__ = ("_plain", "_signature", "_view", "parameters")

    def __init__(self, view: str, events: Callable[..., Any]) -> None:
        self._view = view
        try:
            self._signature = inspect.signature(events)
        except (ValueError, TypeError):
            raise InvalidView(
                f"the view {view} takes its key as the parameters of events, and {events!r} has none"
            ) from None
        hints = _hints(events)
        for parameter in self._signature.parameters.values():
            if parameter.kind not in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
                raise InvalidView(
                    f"the view {view} takes its key as plain parameters of events, which {parameter} is not"
                )
        self.parameters = tuple(KeyParameter(name, hints.get(name, Any)) for name in self._signature.parameters)
        for declared in self.parameters:
            types = declared.types or ()
            if len(types) > 1 and NoneType in types:
                raise InvalidView(
                    f"events of the view {view} declares that {declared.name} may be None, and no predicate finds a "
                    "field that is None: leave None out of its type"
                )
            for kind in types:
                if (refusal := refused_class(kind)) is not None:
                    raise InvalidView(f"events of the view {view} declares {declared.name} as {refusal}")
        self._plain = all(parameter.is_plain for parameter in self.parameters)

    def canonical(self, given: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[str, tuple[Scalar, ...]]:
        """Return a key's canonical text, a JSON array, and its values in their payload form.

        Raises:
            InvalidKey: The key has too few or too many values, or one of a wrong type.
            InvalidFilter: No event can hold a value of the key.
        """
        if named or len(given) != len(self.parameters):
            given = self._bound(given, named)
        if len(given) == 1:
            (parameter,) = self.parameters
            (value,) = given
            if type(value) is str and (parameter.types is None or str in parameter.types):
                _refuse_unstorable(self._view, parameter.name, value)
                return f"[{encode_basestring(value)}]", given
            scalar = parameter.scalar(self._view, value)
            return f"[{_text(scalar)}]", (scalar,)
        scalars = tuple(
            parameter.scalar(self._view, value) for parameter, value in zip(self.parameters, given, strict=True)
        )
        return f"[{','.join(map(_text, scalars))}]", scalars

    def values(self, scalars: Iterable[Scalar]) -> tuple[Any, ...]:
        """Return the key's values as the view's functions get them."""
        if self._plain:
            return tuple(scalars)
        return tuple(parameter.value(scalar) for parameter, scalar in zip(self.parameters, scalars, strict=True))

    def _bound(self, given: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        try:
            bound = self._signature.bind(*given, **named)
        except TypeError as error:
            form = ", ".join(parameter.name for parameter in self.parameters) or "nothing"
            raise InvalidKey(f"the key of the view {self._view} is made of {form}: {error}") from None
        bound.apply_defaults()
        return bound.args


def _canonical(view: str, name: str, value: Any) -> Scalar:
    plain = value.value if isinstance(value, Enum) else value
    if isinstance(plain, bool):
        return plain
    if isinstance(plain, str):
        return _storable(view, name, plain)
    if isinstance(plain, int):
        return int(plain) if -_SMALL < plain < _SMALL else P(name, int(plain)).value
    if plain is value and isinstance(plain, Decimal):
        return P(name, plain).value
    if plain is value and isinstance(plain, UUID):
        return str(plain)
    if plain is value and isinstance(plain, date) and not isinstance(plain, datetime):
        return plain.isoformat()
    raise InvalidKey(f"{name} of the view {view} is {refused_class(type(value)) or wrong_class(type(value))}")


def _storable(view: str, name: str, value: str) -> str:
    # For enumerations and other subclasses, str() may return something else.
    text = str.__str__(value)
    _refuse_unstorable(view, name, text)
    return text


def _refuse_unstorable(view: str, name: str, text: str) -> None:
    if "\x00" in text or not (text.isascii() or _is_text(text)):
        raise InvalidFilter(f"{name} of the view {view} contains a NUL character or a lone surrogate")


def _text(scalar: Scalar) -> str:
    if isinstance(scalar, str):
        return encode_basestring(scalar)
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    return format(scalar, "f") if isinstance(scalar, Decimal) else str(scalar)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        # A name exists for type checkers only; then only they check the key's types.
        return {}
