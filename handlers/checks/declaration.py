"""The declaration check: refuses a domain that lists values of a wrong type, or two with one name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any

from pydantic import BaseModel

from handlers.affinity import Affinity, looked_at
from handlers.checks.models import model_problems
from handlers.decider import AnyDecider
from handlers.erasure.forgetting import SubjectForgotten
from handlers.erasure.sensitive import marked, sensitive_problems
from handlers.errors import InvalidDomain
from handlers.invariant import Invariant
from handlers.kind import kind_of
from handlers.model import Command, DomainEvent
from handlers.projection import Projection
from handlers.reaction import Reaction
from handlers.relay import Relay
from handlers.scenario import Scenario
from handlers.upcaster import Upcaster
from handlers.view import View

__all__ = ["LISTS", "checked_lists", "refuse_name"]

# The name is part of queue names and routing keys.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
LISTS = (
    "views",
    "deciders",
    "events",
    "upcasters",
    "projections",
    "reactions",
    "relays",
    "invariants",
    "scenarios",
)
"""The attributes of a domain that are tuples."""
_VALUES: Mapping[str, type] = {
    "views": View,
    "deciders": AnyDecider,
    "upcasters": Upcaster,
    "projections": Projection,
    "reactions": Reaction,
    "relays": Relay,
    "invariants": Invariant,
}


def refuse_name(name: object) -> None:
    """Refuse a name that no domain can have.

    Raises:
        InvalidDomain: The name is no string of up to 50 small letters, digits, ``_`` and ``-`` that begins with a
            letter.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidDomain(
            f"a domain's name is up to 50 small letters, digits, _ and -, and begins with a letter; {name!r} is not"
        )


def checked_lists(domain: str, given: Mapping[str, object], affinity: Affinity | None) -> Mapping[str, tuple[Any, ...]]:
    """Check the lists of a domain, and return them as tuples.

    Args:
        domain: The domain's name.
        given: The domain's values of ``LISTS``, by attribute name.
        affinity: The domain's affinity, which must not use a Sensitive field; None without one.

    Raises:
        InvalidDomain: A list is no tuple, or holds a wrong type; two entries share a name; a command or event would not
            read back as it was written, or has an invalid Sensitive field.
    """
    lists = {what: _listed(domain, what, given[what]) for what in LISTS}
    deciders, events = lists["deciders"], lists["events"]
    for what, kind in _VALUES.items():
        for each in lists[what]:
            if not isinstance(each, kind):
                name = "Decider" if kind is AnyDecider else kind.__name__
                raise InvalidDomain(
                    f"the domain {domain} lists {_listed_as(each)} among its {what}, which is no {name}"
                )
    for what, named, several in (("command", "deciders", deciders), ("event", "events", events)):
        if not several:
            raise InvalidDomain(f"the domain {domain} has no {what}: list them, as {named}=(…,)")
    _refuse_models(domain, "command", [decider.command for decider in deciders], Command, DomainEvent)
    _refuse_models(domain, "event", events, DomainEvent, Command)
    for scenario in lists["scenarios"]:
        if not isinstance(scenario, type) or not issubclass(scenario, Scenario):
            raise InvalidDomain(
                f"the domain {domain} lists {_listed_as(scenario)} among its scenarios, which is no Scenario"
            )
    _refuse_namesakes(domain, lists)
    _refuse_marks(domain, events, deciders, affinity)
    return lists


def _listed(domain: str, what: str, given: object) -> tuple[Any, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidDomain(
            f"the domain {domain} takes a tuple as its {what}, and {_listed_as(given)} is none; is a comma missing?"
        )
    return tuple(given)


def _listed_as(given: object) -> str:
    if isinstance(given, type):
        return given.__name__
    return kind_of(given) if isinstance(given, FunctionType) else repr(given)


def _refuse_models(
    domain: str, what: str, models: Iterable[Any], base: type[BaseModel], other: type[BaseModel]
) -> None:
    for model in models:
        is_one = isinstance(model, type) and issubclass(model, base) and model is not base
        if not is_one or issubclass(model, other):
            is_what = f"a {other.__name__} as well" if is_one else f"no subclass of {base.__name__}"
            raise InvalidDomain(f"the domain {domain} lists {_listed_as(model)} among its {what}s, which is {is_what}")
        for problem in model_problems(model):
            raise InvalidDomain(f"the domain {domain} has the {what} {model.__name__}, but {problem}")


def _refuse_namesakes(domain: str, lists: Mapping[str, Sequence[Any]]) -> None:
    for what, names in (
        ("views", [view.name for view in lists["views"]]),
        ("kinds of command", [decider.name for decider in lists["deciders"]]),
        ("kinds of event", [event.__name__ for event in lists["events"]]),
        ("projections", [projection.name for projection in lists["projections"]]),
        ("reactions", [reaction.name for reaction in lists["reactions"]]),
        ("relays", [relay.name for relay in lists["relays"]]),
        ("tables", [table.name for projection in lists["projections"] for table in projection.tables]),
        ("scenarios", [scenario.name for scenario in lists["scenarios"]]),
    ):
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidDomain(f"the domain {domain} has two {what} with one name: {twice}")


def _refuse_marks(
    domain: str, events: Sequence[type[DomainEvent]], deciders: Sequence[AnyDecider], affinity: Affinity | None
) -> None:
    for event in events:
        for problem in sensitive_problems(event):
            raise InvalidDomain(f"the domain {domain} has the event {event.__name__}, but {problem}")
    for decider in deciders:
        hidden = {name for name, _, _ in marked(decider.command)}
        if hidden and affinity and (seen := looked_at(affinity, decider.command, hidden)):
            raise InvalidDomain(
                f"the affinity of the domain {domain} looks at {seen} of {decider.name}, which is Sensitive: a "
                "key stands in the messages' headers, for all who see them; use another field"
            )
    names = {event.__name__ for event in events if event is not SubjectForgotten}
    if SubjectForgotten.__name__ in names and any(any(marked(event)) for event in events):
        raise InvalidDomain(
            f"the domain {domain} has an event {SubjectForgotten.__name__} of its own, and that type is reserved for "
            "persons who were forgotten: use handlers.SubjectForgotten, or give yours another name"
        )
