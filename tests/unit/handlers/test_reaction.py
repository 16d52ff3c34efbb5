"""Reactions and relays: refused declarations, returned commands, and their ids."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import ConfigDict, Field, computed_field, field_serializer

from eventstore import Filter, Position
from handlers import (
    DomainEvent,
    InvalidCommand,
    InvalidDomain,
    InvalidReaction,
    InvalidRelay,
    Reaction,
    Relay,
    Send,
    UnknownCommand,
)
from handlers.testing import kit
from tests.support.domains.bells import RUNG, Ring, Rung, Toll, bells, late, tolling, tolls

DOMAIN = bells(reactions=(tolling, late))


def _reaction(**changed: Any) -> Reaction:
    chosen: dict[str, Any] = {"name": "tolling", "events": RUNG, "commands": tolls} | changed
    return Reaction(**chosen)


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"name": "To ll"}, "a reaction's name is up to 50 small letters"),
        ({"events": "Rung"}, "the reaction tolling takes a Filter as its events, not a str"),
        ({"events": RUNG.sequence_number_higher_than(3)}, "have a bound on time or number"),
        ({"commands": 3}, "the reaction tolling needs a function as its commands, not an int"),
        ({"begins": "now"}, "begins at the end or at the start, not at 'now'"),
    ],
)
def test_an_invalid_reaction_is_refused(changed: dict[str, Any], refusal: str) -> None:
    with pytest.raises(InvalidReaction, match=refusal):
        _reaction(**changed)


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"name": ""}, "a relay's name is up to 50"),
        ({"events": 3}, "the relay aloud takes a Filter"),
        ({"mode": "xml"}, "has the mode binary or structured, not 'xml'"),
        ({"subject": ""}, "is the name of a field, not ''"),
        ({"begins": 3}, "begins at the end or at the start"),
    ],
)
def test_an_invalid_relay_is_refused(changed: dict[str, Any], refusal: str) -> None:
    with pytest.raises(InvalidRelay, match=refusal):
        Relay(**{"name": "aloud"} | changed)


def test_a_domain_refuses_duplicate_names_and_unknown_events() -> None:
    with pytest.raises(InvalidDomain, match="has two reactions with one name: tolling"):
        bells(reactions=(tolling, _reaction()))
    stranger = _reaction(events=Filter.matching().any_event_type_of("Melted"))
    with pytest.raises(InvalidDomain, match=r"the reaction tolling \(.*bells.py:\d+\) is made of the event Melted"):
        bells(reactions=(stranger,))
    with pytest.raises(InvalidDomain, match="the relay aloud is made of the event Melted"):
        bells(relays=(Relay(name="aloud", events=stranger.events),))
    with pytest.raises(InvalidDomain, match="among its reactions, which is no Reaction"):
        bells(reactions=(Relay(name="aloud"),))  # type: ignore[arg-type]  # invalid on purpose


class Open(DomainEvent):
    """Its payload may hold any field."""

    model_config = ConfigDict(extra="allow")


class Told(DomainEvent):
    bell: str = Field(alias="Bell")

    @computed_field  # type: ignore[prop-decorator]  # mypy does not support decorated properties
    @property
    def place(self) -> str:
        return "tower"


def test_a_subject_that_no_event_has_is_refused() -> None:
    """Consumers would get no subject, and no sign of it."""
    with pytest.raises(InvalidDomain) as raised:
        bells(relays=(Relay(name="aloud", subject="bell"),))
    assert str(raised.value) == (
        "the domain bells: the relay aloud has the subject 'bell', which is a field of none of its events; "
        "did you mean Bell?"
    )
    told = Filter.matching().any_event_type_of("Told")
    domain = bells()
    for subject, events, more in (("Bell", None, ()), ("place", told, (Told,)), ("anything", None, (Open,))):
        replace(domain, events=(*domain.events, *more), relays=(Relay(name="a", subject=subject, events=events),))
    with pytest.raises(InvalidDomain, match="name a field as JSON has it"):
        replace(domain, events=(*domain.events, Told, Open), relays=(Relay(name="a", subject="xyz", events=told),))


def test_a_command_without_a_domain_is_refused() -> None:
    with pytest.raises(InvalidReaction, match="Send takes a command, not a str"):
        Send(command="Toll")  # type: ignore[arg-type]  # invalid on purpose
    with pytest.raises(InvalidReaction, match="a domain's name is up to 50"):
        Send(command=Toll(bell="a"), to="the tower")
    with pytest.raises(InvalidReaction, match="a datetime with a time zone, not datetime"):
        Send(command=Toll(bell="a"), at=datetime(2027, 1, 31, 18))  # noqa: DTZ001  naive on purpose


def test_the_kit_compares_sent_commands_with_the_expected_ones() -> None:
    given = kit(DOMAIN)
    given(Rung(bell="a"), Rung(bell="mute"), Rung(bell="twin"), Rung(bell="abroad")).sends(
        tolling, [Toll(bell="a"), Toll(bell="left"), Toll(bell="right"), Send(command=Toll(bell="abroad"), to="tower")]
    )
    given(Rung(bell="b")).sends(tolling, Toll(bell="b"))
    with pytest.raises(TypeError, match="sends takes commands; a str is none"):
        given().sends(tolling, "Toll")  # type: ignore[arg-type]  # invalid on purpose
    with pytest.raises(AssertionError, match=r"tolling sends .*'a'.*\nexpected \[\]\non account of 1 Rung"):
        given(Rung(bell="a")).sends(tolling, [])
    with pytest.raises(ValueError, match="the bell is cracked"):
        given(Rung(bell="cracked")).sends(tolling, [])
    with pytest.raises(AssertionError, match="does not list the reaction tolling"):
        given().sends(_reaction(), [])
    with pytest.raises(TypeError, match="sends takes a reaction"):
        given().sends("tolling", [])  # type: ignore[arg-type]  # invalid on purpose


def test_the_kit_reports_reactions_that_would_fail_in_a_follower() -> None:
    seen: list[object] = []

    def counts(_: object) -> Toll:
        seen.append(_)
        return Toll(bell=str(len(seen)))

    changing = _reaction(commands=counts)
    with pytest.raises(AssertionError, match="is not pure: asked twice about event 1"):
        kit(bells(reactions=(changing,)))(Rung(bell="a")).sends(changing, [])
    for returned, refusal in (("Toll", "a str"), (3, "an int"), (Rung(bell="a"), "a Rung"), ([{}], "a dict")):
        wrong = _reaction(commands=lambda _, returned=returned: returned)
        with pytest.raises(InvalidReaction, match=f"returns {refusal}, which is no command"):
            kit(bells(reactions=(wrong,)))(Rung(bell="a")).sends(wrong, [])

    class Melt(Ring):
        pass

    unknown = _reaction(commands=lambda _: Melt(bell="a"))
    with pytest.raises(UnknownCommand, match="has no decider of the command 'Melt'"):
        kit(bells(reactions=(unknown,)))(Rung(bell="a")).sends(unknown, [])

    homonym = type("Toll", (Ring,), {})(bell="a")
    foreign = _reaction(commands=lambda _: homonym)
    with pytest.raises(InvalidReaction, match="returns a Toll that is not the command of this name of the domain"):
        kit(bells(reactions=(foreign,)))(Rung(bell="a")).sends(foreign, homonym)


def test_the_kit_reports_commands_that_cannot_be_sent_or_read() -> None:
    class Numbered(Toll):
        @field_serializer("bell")
        def _number(self, bell: str) -> int:
            return len(bell)

    Numbered.__name__ = "Toll"
    unsendable, unreadable = Toll(bell="a\0"), Numbered(bell="a")
    for command, error, refusal in (
        (unsendable, AssertionError, "returns a Toll that cannot be sent: it contains a NUL character"),
        (unreadable, InvalidCommand, "Toll: Bell: "),
    ):
        unfit = _reaction(commands=lambda _, command=command: command)
        with pytest.raises(error, match=refusal):
            kit(bells(reactions=(unfit,)))(Rung(bell="a")).sends(unfit, command)


def test_ids_are_stable_and_unique_per_event_and_reaction() -> None:
    at = Position(number=7, token=11)
    # No later version may change it: commands sent earlier would be sent again.
    assert tolling.command_id("bells", at, 0) == UUID("89b749c0-aa2d-5567-bba7-0d520b2aeb4a")
    others = {
        tolling.command_id("bells", at, 1),
        tolling.command_id("tower", at, 0),
        tolling.command_id("bells", Position(number=7, token=12), 0),
        tolling.command_id("bells", Position(number=8, token=11), 0),
        late.command_id("bells", at, 0),
        tolling.command_id("bells", at, 0),
    }
    assert len(others) == 6
