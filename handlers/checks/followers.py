"""What projections, reactions and relays have in common: a name, and the events that they follow."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from eventstore import Filter
from handlers.checks.older_events import OlderEvents
from handlers.kind import kind_of
from handlers.model import DomainEvent

__all__ = ["Following", "check_events", "check_name", "filter_problems"]

# It becomes a word on the command line.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")


class Following(Protocol):
    """What follows the log, as far as it is looked at here."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def followed(self) -> Filter | None:
        """Which events; None for all of the domain."""
        ...

    @property
    def described(self) -> str:
        """What it is, with its name and place, as a sentence begins."""
        ...


def check_name(kind: str, name: object, error: type[Exception]) -> None:
    """Refuse a name that cannot be.

    Args:
        kind: What has it, such as ``projection``.
        name: The name.
        error: What is raised.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise error(
            f"a {kind}'s name is up to 50 small letters, digits, _ and -, and begins with a letter; {name!r} is not"
        )


def check_events(described: str, events: object, error: type[Exception]) -> None:
    """Refuse what is no filter, or has bounds.

    Args:
        described: Whose it is, such as ``projection books``.
        events: The filter.
        error: What is raised.
    """
    if not isinstance(events, Filter):
        raise error(f"the {described} takes a Filter as its events, not {kind_of(events)}")
    if events.since is not None or events.until is not None or events.above:
        raise error(f"the events of the {described} have a bound on time or number")


def filter_problems(
    followers: Iterable[Following], events: Mapping[str, type[DomainEvent]], older: OlderEvents
) -> Iterator[str]:
    """Iterate over what is wrong with their filters beside the events that there are, a sentence each.

    Args:
        followers: A domain's.
        events: Its events, by every name that they had or have.
        older: Their older versions.
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
