"""The examination: what of a domain's views can never work, found before an event is read."""

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
    """Looks at views beside the events that there are.

    Args:
        views: A domain's views.
        events: Its events, by every name that they had or have.
        older: Their older versions.
    """

    def __init__(
        self, views: Iterable[View[..., Any]], events: Mapping[str, type[DomainEvent]], older: OlderEvents
    ) -> None:
        self._views = tuple(views)
        self._events = events
        self._fields = EventFields(events)
        self._older = older

    def problems_of(self, part: Part[Any]) -> Iterator[str]:
        """Iterate over what is wrong with a part's filter, a sentence each.

        It must be the same when it is made again, and an event must be able to match each part of it.
        """
        try:
            with Contained():
                again = part.view.again(part)
        except Exception as error:  # noqa: BLE001  whatever a function of somebody's raises
            yield f"{_named(part.view)} is not pure: asked again, events raises {type(error).__name__}: {error}"
        else:
            if again != part:
                text = "is not pure: asked again, events returns another filter; a time belongs in the key"
                yield f"{_named(part.view)} {text}"
        for problem in self._fields.problems(part.filter):
            yield f"{_named(part.view)} {problem}"
        yield from self.missed_by(part)

    def missed_by(self, part: Part[Any]) -> Iterator[str]:
        """Iterate over what a part's filter would miss of events of older versions, a sentence each."""
        for problem in self._older.problems(part.filter):
            yield f"{_named(part.view)} {problem}"

    def missed(self) -> Iterator[str]:
        """Iterate over what the filter of each view at a sample key would miss, a sentence each."""
        for part in self.samples():
            yield from self.missed_by(part)

    def asked(self) -> Iterator[tuple[str, str, str]]:
        """Iterate over the fields that the views look at, at a sample key each: event type, field and view."""
        for part in self.samples():
            for item in part.filter.items:
                for name in item.event_types or tuple(self._events):
                    for predicate in item.predicates:
                        yield name, predicate.key, part.view.name

    def samples(self) -> Iterator[Part[Any]]:
        """Iterate over a part of each view at a sample key, as far as there is one that the view takes."""
        for view in self._views:
            try:
                with Contained():
                    part = view.at(*map(sample_of, view.key))
            except Exception:  # noqa: BLE001, S112  no sample, or one that the domain's code did not expect
                continue
            yield part

    def problems(self) -> Iterator[str]:
        """Iterate over what is wrong with the filter of each view at a sample key, a sentence each."""
        for view in self._views:
            try:
                with Contained():
                    part = view.at(*map(sample_of, view.key))
            except NoSample:
                continue
            except Exception as error:  # noqa: BLE001  whatever a function of somebody's raises
                yield f"{_named(view)} cannot be asked at a sample key: {type(error).__name__}: {error}"
            else:
                yield from self.problems_of(part)

    def unsampled(self) -> Iterator[str]:
        """Iterate over the views that no sample key can be made for, a sentence each."""
        for view in self._views:
            try:
                for parameter in view.key:
                    sample_of(parameter)
            except NoSample as parameter:
                yield f"{_named(view)} cannot be looked at: events declares no type for {parameter} that has a sample"


def _named(view: View[..., Any]) -> str:
    return f"the view {view.name} ({place_of(view.events)})"
