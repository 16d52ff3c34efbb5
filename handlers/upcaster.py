"""Upcasters: pure functions that convert a recorded event from one version to the next."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eventstore.jsontext import Unstorable, decode_object, encode_object
from handlers.contained import Contained
from handlers.errors import HandlerCrashed, InvalidUpcaster
from handlers.kind import kind_of
from handlers.model import DomainEvent
from handlers.place import place_of, raised_at
from handlers.plain_function import refusal

__all__ = ["NotUpcast", "Payload", "Upcaster"]

Payload = dict[str, Any]
"""A payload in its recorded form, by its JSON names."""

_ABSENT = object()


class NotUpcast(Exception):
    """Raised by ``Upcaster.applied``: the function failed, or broke its contract. The message says how, and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcaster:
    """Converts one version of an event into the next.

    ::

        Upcaster(event=ReaderRegistered, version=1, changes=("Name", "FirstName", "LastName"), upcast=split_name)

    Attributes:
        event: The event in the version that it reads: its class, or its name if the event is called otherwise now.
        version: The version that it reads; the first is 1.
        changes: The JSON names of the top-level fields that it sets, changes or removes; it must change no others. No
            filter may use one of them: it would not find events of older versions.
        upcast: Returns the payload of the next version. Its argument is a copy that it may change. It is pure.
        renamed_to: The event's class or name from the next version on, if it is renamed; by default None.

    Raises:
        InvalidUpcaster: An attribute is invalid; the message says which.
    """

    event: type[DomainEvent] | str
    version: int
    changes: tuple[str, ...]
    upcast: Callable[[Payload], Mapping[str, Any]]
    renamed_to: type[DomainEvent] | str | None = None

    def __post_init__(self) -> None:
        for what, given in (("event", self.event), ("renamed_to", self.renamed_to)):
            if given is not None and not _is_event(given):
                raise InvalidUpcaster(f"an upcaster takes an event's class or its name as {what}, not {given!r}")
        if type(self.version) is not int or self.version < 1:
            raise InvalidUpcaster(f"the versions of {self.name} are 1, 2, 3 …; no upcaster reads {self.version!r}")
        if (problem := refusal(self.upcast)) is not None:
            raise InvalidUpcaster(f"{self} needs a function as its upcast, {problem}")
        fields: object = self.changes
        if isinstance(fields, str) or not isinstance(fields, Iterable):
            raise InvalidUpcaster(f"{self} takes a tuple as its changes, not {fields!r}; is a comma missing?")
        object.__setattr__(self, "changes", tuple(fields))
        for field in self.changes:
            if not isinstance(field, str):
                raise InvalidUpcaster(f"{self} changes fields by their JSON names, not {field!r}")
        if self.target == self.name and self.renamed_to is not None:
            raise InvalidUpcaster(f"{self} renames it to the name that it has; leave renamed_to out")

    def __str__(self) -> str:
        return f"the upcaster of {self.name} from version {self.version}"

    @property
    def name(self) -> str:
        """The event's type in the version that it reads."""
        return self.event if isinstance(self.event, str) else self.event.__name__

    @property
    def target(self) -> str:
        """The event's type in the version that it returns."""
        to = self.event if self.renamed_to is None else self.renamed_to
        return to if isinstance(to, str) else to.__name__

    @property
    def place(self) -> str:
        """The file and line of its function."""
        return place_of(self.upcast)

    def applied(self, payload: Mapping[str, Any]) -> Payload:
        """Return the payload of the next version.

        Args:
            payload: The payload in the version that it reads. It is not changed.

        Raises:
            NotUpcast: The function raised an error, returned no payload, or changed a field that is not in ``changes``.
        """
        try:
            with Contained():
                # A copy: all readers share the recorded payload.
                returned: object = self.upcast(_as_recorded(payload))
        except Exception as bug:
            raise NotUpcast(f"{self} raised {_told(bug)} at {_line(bug) or self.place}") from bug
        if not isinstance(returned, Mapping):
            raise NotUpcast(f"{self} ({self.place}) returns the payload of the next version, not {kind_of(returned)}")
        try:
            with Contained():
                after = _as_recorded(returned)
        except Exception as error:
            raise NotUpcast(f"{self} ({self.place}) returns a payload that {_unstorable(error)}") from error
        for field in payload.keys() | after.keys():
            if field not in self.changes and not _alike(payload.get(field, _ABSENT), after.get(field, _ABSENT)):
                raise NotUpcast(f"{self} ({self.place}) changes the field {field!r}; add it to its changes")
        return after


def _is_event(given: object) -> bool:
    if isinstance(given, str):
        return bool(given)
    return isinstance(given, type) and issubclass(given, DomainEvent) and given is not DomainEvent


def _as_recorded(payload: Mapping[str, Any]) -> Payload:
    """Return an independent copy of a payload, in its recorded form."""
    return decode_object(encode_object(payload))


def _unstorable(error: Exception) -> str:
    return str(error) if isinstance(error, Unstorable) else f"cannot be read: {_told(error)}"


def _alike(before: object, after: object) -> bool:
    # A predicate keeps 1 and true apart, and does not look into a list or an object.
    return before is after or (type(before) is type(after) and before == after)


def _told(bug: Exception) -> str:
    if isinstance(bug, HandlerCrashed):
        return str(bug)
    return f"{type(bug).__name__}: {bug}" if str(bug) else type(bug).__name__


def _line(bug: BaseException) -> str | None:
    found = raised_at(bug)
    return None if found is None else found[1]
