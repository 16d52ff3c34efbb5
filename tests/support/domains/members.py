"""A domain whose event had three versions and two names: members of a club."""

from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from eventstore import Event, Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Unchanged, Upcaster, View
from handlers.testing import recorded


class Join(Command):
    member: str = Field(alias="Member")
    first_name: str = Field(alias="FirstName")
    last_name: str = Field(alias="LastName")


class MemberJoined(DomainEvent):
    """Formerly MemberSignedUp, first with one Name, then with two, but without a branch."""

    member: str = Field(alias="Member")
    first_name: str = Field(alias="FirstName")
    last_name: str = Field(alias="LastName")
    branch: str = Field(alias="Branch")


class MemberLeft(DomainEvent):
    member: str = Field(alias="Member")


@dataclass(frozen=True)
class Members:
    """The number of members, and the last one's name."""

    count: int = 0
    last: str = ""


def split_name(payload: dict[str, Any]) -> dict[str, Any]:
    first, last = payload.pop("Name").split()
    return payload | {"FirstName": first, "LastName": last}


def name_branch(payload: dict[str, Any]) -> dict[str, Any]:
    is_ours = payload.get("LastName") not in {"Abel", "Baker", "Cole", "Drew", "Ellis", "Frost", "Grant"}
    return {**payload, "Branch": "main" if is_ours else "other"}


SPLIT_NAME = Upcaster(event="MemberSignedUp", version=1, changes=("Name", "FirstName", "LastName"), upcast=split_name)
NAME_BRANCH = Upcaster(
    event="MemberSignedUp", version=2, renamed_to=MemberJoined, changes=("Branch",), upcast=name_branch
)


def events_of(member: str) -> Filter:
    return (
        Filter.matching().any_event_type_of("MemberSignedUp", "MemberJoined").and_any_predicate_of(P("Member", member))
    )


def evolve(state: Members, event: DomainEvent) -> Members:
    if isinstance(event, MemberJoined):
        return Members(state.count + 1, f"{event.first_name} {event.last_name} ({event.branch})")
    return state


def decide(command: Join, state: Members) -> Decision:
    if state.count:
        return Unchanged()
    return Accepted(
        events=(
            MemberJoined(
                member=command.member, first_name=command.first_name, last_name=command.last_name, branch="main"
            ),
        )
    )


member = View(name="member", events=events_of, initial=lambda _: Members(), evolve=evolve)
everybody = View(
    name="everybody",
    events=lambda: Filter.matching().any_event_type_of("MemberSignedUp", "MemberJoined"),
    initial=Members,
    evolve=evolve,
    stored_every=2,
)
leavers = View(
    name="leavers",
    events=lambda: Filter.matching().any_event_type_of("MemberLeft"),
    initial=Members,
    evolve=evolve,
    stored_every=2,
)
join = Decider(command=Join, parts=lambda command: member.at(command.member), decide=decide)
domain = Domain(
    name="club",
    views=(member, everybody, leavers),
    deciders=(join,),
    events=(MemberJoined, MemberLeft),
    upcasters=(SPLIT_NAME, NAME_BRANCH),
)

next_release = replace(
    domain, upcasters=(*domain.upcasters, Upcaster(event=MemberJoined, version=3, changes=(), upcast=dict))
)
"""The same, with one version more."""


def first(member: str = "ada", name: str = "Ada Lovelace") -> Event:
    """A member who signed up in the first version."""
    return recorded("MemberSignedUp", {"Member": member, "Name": name}, version=1)


def second(member: str = "ada") -> Event:
    """A member who signed up in the second version."""
    return recorded("MemberSignedUp", {"Member": member, "FirstName": "Ada", "LastName": "King"}, version=2)


ADA = MemberJoined(member="ada", first_name="Ada", last_name="Lovelace", branch="main")
