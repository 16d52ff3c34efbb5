"""The common parts of projections, reactions and relays: a name, and the events that they follow."""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Protocol

from eventstore import Filter
from handlers.checks.older_events import OlderEvents
from handlers.kind import kind_of
from handlers.model import DomainEvent

__all__ = ["Following", "Publishing", "check_events", "check_name", "filter_problems", "subject_problems"]

# The name is an argument on the command line.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")


class Following(Protocol):
    """The attributes of a projection, reaction or relay that are checked here."""

    @property
    def name(self) -> str:
        """The name of the projection, reaction or relay."""
        ...

    @property
    def followed(self) -> Filter | None:
        """The filter that selects its events; None for all events of the domain."""
        ...

    @property
    def described(self) -> str:
        """Its kind, name and place, as the beginning of a sentence."""
        ...


class Publishing(Following, Protocol):
    """The attributes of a relay that are checked here."""

    @property
    def subject(self) -> str | None:
        """The JSON name of the field that is an event's subject; None for none."""
        ...


def check_name(kind: str, name: object, error: type[Exception]) -> None:
    """Refuse an invalid name.

    Args:
        kind: The kind of object that has the name, such as ``projection``.
        name: The name.
        error: The error class to raise.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise error(
            f"a {kind}'s name is up to 50 small letters, digits, _ and -, and begins with a letter; {name!r} is not"
        )


def check_events(described: str, events: object, error: type[Exception]) -> None:
    """Refuse an object that is no filter, or a filter with bounds.

    Args:
        described: The owner of the filter, such as ``projection books``.
        events: The filter.
        error: The error class to raise.
    """
    if not isinstance(events, Filter):
        raise error(f"the {described} takes a Filter as its events, not {kind_of(events)}")
    if events.since is not None or events.until is not None or events.above:
        raise error(f"the events of the {described} have a bound on time or number")


def filter_problems(
    followers: Iterable[Following], events: Mapping[str, type[DomainEvent]], older: OlderEvents
) -> Iterator[str]:
    """Iterate over the faults of followers' filters, given the domain's events, each as a sentence.

    Args:
        followers: The projections, reactions and relays of a domain.
        events: The domain's event classes, by every present and former name.
        older: The older versions of these events.
    """
    for each in followers:
        if each.followed is None:
            continue
        for item in each.followed.items:
            if not item.event_types:
                yield f"{each.described} names no event type in a part of its events: another domain's might match it"
            for name in item.event_types:
                if name not in events:
                    yield (
                        f"{each.described} is made of the event {name}, which the domain does not list; add it to its "
                        "events"
                    )
        for problem in older.problems(each.followed):
            yield f"{each.described} {problem}"


def subject_problems(relays: Iterable[Publishing], events: Mapping[str, type[DomainEvent]]) -> Iterator[str]:
    """Iterate over the relays whose subject is a field of none of their events, each as a sentence.

    Args:
        relays: The relays of a domain.
        events: The domain's event classes, by every present and former name.
    """
    for each in relays:
        types = None if each.followed is None else {name for item in each.followed.items for name in item.event_types}
        models = [model for name, model in events.items() if types is None or name in types]
        if each.subject is None or any(map(_writes_more, models)):
            continue
        names = {name for model in models for name in _written(model)}
        if each.subject not in names:
            close = get_close_matches(each.subject, names, n=1)
            advice = f"did you mean {close[0]}?" if close else "name a field as JSON has it"
            yield f"{each.described} has the subject {each.subject!r}, which is a field of none of its events; {advice}"


def _written(model: type[DomainEvent]) -> Iterator[str]:
    for name, field in (model.model_fields | model.model_computed_fields).items():
        yield getattr(field, "serialization_alias", None) or field.alias or name


def _writes_more(model: type[DomainEvent]) -> bool:
    """Return whether a payload may hold fields that the model does not declare."""
    return model.model_config.get("extra") == "allow" or bool(model.__pydantic_decorators__.model_serializers)
