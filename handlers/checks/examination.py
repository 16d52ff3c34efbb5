"""The examination: finds faults of a domain's views before an event is read."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from handlers.checks.event_fields import EventFields
from handlers.checks.older_events import OlderEvents
from handlers.checks.sample import NoSample, sample_of
from handlers.contained import Contained
from handlers.model import DomainEvent
from handlers.part import Part
from handlers.place import place_of
from handlers.view import View

__all__ = ["Examination"]


class Examination:
    """Checks the filters of views against the domain's events.

    Args:
        views: The views of the domain.
        events: The domain's event classes, by every present and former name.
        older: The older versions of these events.
    """

    def __init__(
        self, views: Iterable[View[..., Any]], events: Mapping[str, type[DomainEvent]], older: OlderEvents
    ) -> None:
        self._views = tuple(views)
        self._events = events
        self._fields = EventFields(events)
        self._older = older

    def problems_of(self, part: Part[Any]) -> Iterator[str]:
        """Iterate over the faults of a part's filter, each as a sentence.

        The filter must be equal when it is made again, and an event must be able to match each of its alternatives.
        """
        try:
            with Contained():
                again = part.view.again(part)
        except Exception as error:  # noqa: BLE001  the domain's function may raise anything
            yield f"{_named(part.view)} is not pure: asked again, events raises {type(error).__name__}: {error}"
        else:
            if again != part:
                text = "is not pure: asked again, events returns another filter; a time belongs in the key"
                yield f"{_named(part.view)} {text}"
        for problem in self._fields.problems(part.filter):
            yield f"{_named(part.view)} {problem}"
        yield from self.missed_by(part)

    def missed_by(self, part: Part[Any]) -> Iterator[str]:
        """Iterate over the older versions of events that a part's filter would miss, each as a sentence."""
        for problem in self._older.problems(part.filter):
            yield f"{_named(part.view)} {problem}"

    def missed(self) -> Iterator[str]:
        """Iterate over the events that the filter of each view, with a sample key, would miss, each as a sentence."""
        for part in self.samples():
            yield from self.missed_by(part)

    def asked(self) -> Iterator[tuple[str, str, str]]:
        """Iterate over the fields that the views filter by, with sample keys: event type, field and view."""
        for part in self.samples():
            for item in part.filter.items:
                for name in item.event_types or tuple(self._events):
                    for predicate in item.predicates:
                        yield name, predicate.key, part.view.name

    def samples(self) -> Iterator[Part[Any]]:
        """Iterate over a part of each view with a sample key, as far as one can be made."""
        for view in self._views:
            try:
                with Contained():
                    part = view.at(*map(sample_of, view.key))
            except Exception:  # noqa: BLE001, S112  there is no sample, or the domain's code did not expect it
                continue
            yield part

    def problems(self) -> Iterator[str]:
        """Iterate over the faults of the filter of each view with a sample key, each as a sentence."""
        for view in self._views:
            try:
                with Contained():
                    part = view.at(*map(sample_of, view.key))
            except NoSample:
                continue
            except Exception as error:  # noqa: BLE001  the domain's function may raise anything
                yield f"{_named(view)} cannot be asked at a sample key: {type(error).__name__}: {error}"
            else:
                yield from self.problems_of(part)

    def unsampled(self) -> Iterator[str]:
        """Iterate over the views for which no sample key can be made, each as a sentence."""
        for view in self._views:
            try:
                for parameter in view.key:
                    sample_of(parameter)
            except NoSample as parameter:
                yield f"{_named(view)} cannot be examined: events declares no type for {parameter} that has a sample"


def _named(view: View[..., Any]) -> str:
    return f"the view {view.name} ({place_of(view.events)})"
