"""A domain's sensitive events: the parts that may show their values, and what a decision seals."""

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
    """The events of a domain with marked fields. False if there are none.

    Args:
        events: The domain's event classes.
    """

    def __init__(self, events: Iterable[type[DomainEvent]]) -> None:
        # Former names of an event are not needed: a filter names them together with the newest.
        self._fields = {event.__name__: fields for event in events if (fields := sensitive_fields(event))}
        self._watched = lru_cache(maxsize=_RECENT_PARTS)(self._widened)

    def __bool__(self) -> bool:
        return bool(self._fields)

    @property
    def subject_fields(self) -> frozenset[str]:
        """The JSON names of the fields that name subjects."""
        return frozenset(field.subject for fields in self._fields.values() for field in fields)

    def are_read_by(self, part: Part[Any]) -> bool:
        """Whether a part's state may show sealed values."""
        return bool(self) and self.watched(part) is not part.filter

    def watched(self, part: Part[Any]) -> Filter:
        """Return a part's filter, extended by the events that forget subjects of values in its state.

        A state that was read or validated by it shows no value that was forgotten up to its position.

        Raises:
            InvalidView: The part's filter uses a marked field, or has a bound on time, outside of which it would miss
                that a subject was forgotten.
        """
        return self._watched(part) if self._fields else part.filter

    def subjects(self, events: Iterable[Event]) -> list[Subject]:
        """Return the subjects of the values that events must seal, each once.

        Raises:
            InvalidEvent: A field names no subject.
        """
        found: dict[Subject, None] = {}
        for event in events:
            if fields := self._fields.get(event.type):
                payload = decode_object(event.payload_text)
                found.update(dict.fromkeys(each.subject_of(payload) for each in fields if each.name in payload))
        return list(found)

    def sealed(self, events: Sequence[Event], keys: Mapping[Subject, DataKey]) -> list[Event]:
        """Return events in their recorded form, with their values sealed.

        Args:
            events: The events.
            keys: The keys of the events' ``subjects``.
        """
        return [sealed(event, fields, keys) if (fields := self._fields.get(event.type)) else event for event in events]

    def replaced(self, event_type: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a payload as it reads after its subjects are forgotten."""
        fields = self._fields.get(event_type, ())
        return {**payload, **{field.name: field.replacement for field in fields if field.name in payload}}

    def problem(self, part: Part[Any]) -> str | None:
        """Return the reason why a part cannot be read; None if it can."""
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
                f"{_named(part)} reads events with Sensitive fields within a bound of time, and would not see that a "
                "person was forgotten outside it; remove that bound, and compare a time that the events hold"
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
    """Return the subjects whose values events of an alternative hold, as far as known; None stands for all subjects."""
    named = {field.subject for field in fields}
    asked = [predicate for predicate in item.predicates if predicate.key in named]
    one = len(named) == 1 and bool(asked)
    # If all predicates must hold, the first one on the subject's field names the subject. If any may, all must name it.
    if not one or not (item.all_predicates or len(asked) == len(item.predicates)):
        return [None]
    values = asked[:1] if item.all_predicates else asked
    return [Subject(predicate.key, str(predicate.value)) for predicate in values]


def _named(part: Part[Any]) -> str:
    return f"the view {part.view.name} ({place_of(part.view.events)})"
