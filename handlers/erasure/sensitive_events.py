"""A domain's sensitive events: which they are, which parts show their values, and what is sealed of a decision."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from eventstore import Event, Filter, FilterItem, Subject, forgetting_of
from eventstore.jsontext import decode_object
from handlers.erasure.master_key import DataKey
from handlers.erasure.sealing import sealed
from handlers.erasure.sensitive import SensitiveField, sensitive_fields
from handlers.errors import InvalidView
from handlers.model import DomainEvent
from handlers.part import Part
from handlers.place import place_of

__all__ = ["SensitiveEvents"]

_RECENT_PARTS = 4096


class SensitiveEvents:
    """The events of a domain that have marked fields. It is false if there are none.

    Args:
        events: The domain's events.
    """

    def __init__(self, events: Iterable[type[DomainEvent]]) -> None:
        # Older names of an event need none: a filter names them together with the newest.
        self._fields = {event.__name__: fields for event in events if (fields := sensitive_fields(event))}
        self._watched = lru_cache(maxsize=_RECENT_PARTS)(self._widened)

    def __bool__(self) -> bool:
        return bool(self._fields)

    @property
    def subject_fields(self) -> frozenset[str]:
        """The fields, by their JSON names, that name whom values belong to."""
        return frozenset(field.subject for fields in self._fields.values() for field in fields)

    def are_read_by(self, part: Part[Any]) -> bool:
        """Whether a part's state may show what is sealed."""
        return bool(self) and self.watched(part) is not part.filter

    def watched(self, part: Part[Any]) -> Filter:
        """Return a part's filter, together with what forgets those whose values its state may show.

        A state that is read, or validated, by it is known to show nothing that was forgotten up to its position.

        Raises:
            InvalidView: The part's filter looks at a marked field, or is bounded by a time, beyond which it would not
                be seen that a subject was forgotten.
        """
        return self._watched(part) if self._fields else part.filter

    def subjects(self, events: Iterable[Event]) -> list[Subject]:
        """Return to whom the values of events belong that are to be sealed, each once.

        Raises:
            InvalidEvent: A field belongs to nobody.
        """
        found: dict[Subject, None] = {}
        for event in events:
            if fields := self._fields.get(event.type):
                payload = decode_object(event.payload_text)
                found.update(dict.fromkeys(each.subject_of(payload) for each in fields if each.name in payload))
        return list(found)

    def sealed(self, events: Sequence[Event], keys: Mapping[Subject, DataKey]) -> list[Event]:
        """Return events as they are recorded.

        Args:
            events: The events.
            keys: The key of each of their ``subjects``.
        """
        return [sealed(event, fields, keys) if (fields := self._fields.get(event.type)) else event for event in events]

    def replaced(self, event_type: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a payload as it reads when whom it belongs to is forgotten."""
        fields = self._fields.get(event_type, ())
        return {**payload, **{field.name: field.replacement for field in fields if field.name in payload}}

    def problem(self, part: Part[Any]) -> str | None:
        """Say why a part cannot be read; None if it can."""
        for item in part.filter.items:
            for name in item.event_types or tuple(self._fields):
                hidden = {field.name for field in self._fields.get(name, ())}
                for predicate in item.predicates:
                    if predicate.key in hidden:
                        return (
                            f"{_named(part)} asks {name} for the field {predicate.key!r}, which is Sensitive: it is "
                            "recorded sealed, and no filter finds it; ask for another one"
                        )
        is_bounded = part.filter.since is not None or part.filter.until is not None
        if is_bounded and any(self._concerned(item) for item in part.filter.items):
            return (
                f"{_named(part)} reads events with Sensitive fields of some time, and would not see that whom they "
                "belong to was forgotten at another; leave that bound out, and compare a time that the events hold"
            )
        return None

    def _widened(self, part: Part[Any]) -> Filter:
        if (problem := self.problem(part)) is not None:
            raise InvalidView(problem)
        asked = part.filter
        further: dict[FilterItem, None] = {}
        for item in asked.items:
            if concerned := self._concerned(item):
                further.update(dict.fromkeys(map(forgetting_of, _subjects(item, concerned))))
        if not further:
            return asked
        everybody = forgetting_of(None)
        added = (everybody,) if everybody in further else tuple(further)
        return Filter((*asked.items, *added), above=asked.above)

    def _concerned(self, item: FilterItem) -> list[SensitiveField]:
        """Return the marked fields that events of an alternative may have."""
        names = item.event_types or tuple(self._fields)
        return [field for name in names for field in self._fields.get(name, ())]


def _subjects(item: FilterItem, fields: Sequence[SensitiveField]) -> list[Subject | None]:
    """Return whose values events of an alternative hold, as far as it says so; None stands for everybody's."""
    named = {field.subject for field in fields}
    asked = [predicate for predicate in item.predicates if predicate.key in named]
    one = len(named) == 1 and bool(asked)
    # All must hold: the first that names the subject says whose they are. Or one of several: then all must name it.
    if not one or not (item.all_predicates or len(asked) == len(item.predicates)):
        return [None]
    values = asked[:1] if item.all_predicates else asked
    return [Subject(predicate.key, str(predicate.value)) for predicate in values]


def _named(part: Part[Any]) -> str:
    return f"the view {part.view.name} ({place_of(part.view.events)})"
