"""Projections beside the events that there are: what one would never see, or could not read."""

from collections.abc import Iterable, Iterator, Mapping

from handlers.checks.older_events import OlderEvents
from handlers.model import DomainEvent
from handlers.projection import Projection

__all__ = ["projection_problems"]


def projection_problems(
    projections: Iterable[Projection], events: Mapping[str, type[DomainEvent]], older: OlderEvents
) -> Iterator[str]:
    """Iterate over what is wrong with the filters of projections, a sentence each.

    Args:
        projections: A domain's.
        events: Its events, by every name that they had or have.
        older: Their older versions.
    """
    for projection in projections:
        named = f"the projection {projection.name} ({projection.place})"
        for item in projection.events.items:
            if not item.event_types:
                yield f"{named} names no event type in a part of its events: another domain's events might match it"
            for name in item.event_types:
                if name not in events:
                    yield f"{named} is made of the event {name}, which the domain does not list; add it to its events"
        for problem in older.problems(projection.events):
            yield f"{named} {problem}"
