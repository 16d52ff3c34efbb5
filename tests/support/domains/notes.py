"""A domain with affinity whose commands of one key read different parts: some read a topic besides the key."""

from dataclasses import dataclass

from pydantic import Field

from eventstore import Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Part, View


class Note(Command):
    """Note something under a key."""

    key: str = Field(alias="Key")


class NoteAbout(Command):
    """Note something under a key, and about a topic."""

    key: str = Field(alias="Key")
    about: str = Field(alias="About")


class Mention(Command):
    """Note something about a topic alone: it shares no part with the other commands of its key."""

    key: str = Field(alias="Key")
    about: str = Field(alias="About")


class Noted(DomainEvent):
    key: str = Field(alias="Key")
    about: str | None = Field(alias="About", default=None)


class Mentioned(DomainEvent):
    about: str = Field(alias="About")


@dataclass(frozen=True, slots=True)
class Notes:
    count: int = 0


def of_key(key: str) -> Filter:
    return Filter.matching().any_event_type_of("Noted").and_any_predicate_of(P("Key", key))


def of_topic(topic: str) -> Filter:
    return Filter.matching().any_event_type_of("Noted", "Mentioned").and_any_predicate_of(P("About", topic))


def evolve(state: Notes, _: DomainEvent) -> Notes:
    return Notes(state.count + 1)


keyed = View(name="keyed", events=of_key, initial=lambda _: Notes(), evolve=evolve)
topics = View(name="topics", events=of_topic, initial=lambda _: Notes(), evolve=evolve)


def note_parts(command: Note) -> Part[Notes]:
    return keyed.at(command.key)


def note_about_parts(command: NoteAbout) -> tuple[Part[Notes], Part[Notes]]:
    return keyed.at(command.key), topics.at(command.about)


def mention_parts(command: Mention) -> Part[Notes]:
    return topics.at(command.about)


def decide_note(command: Note, _: Notes) -> Decision:
    return Accepted(events=(Noted(key=command.key),))


def decide_note_about(command: NoteAbout, _: Notes, __: Notes) -> Decision:
    return Accepted(events=(Noted(key=command.key, about=command.about),))


def decide_mention(command: Mention, _: Notes) -> Decision:
    return Accepted(events=(Mentioned(about=command.about),))


domain = Domain(
    name="tally",
    views=(keyed, topics),
    deciders=(
        Decider(command=Note, parts=note_parts, decide=decide_note),
        Decider(command=NoteAbout, parts=note_about_parts, decide=decide_note_about),
        Decider(command=Mention, parts=mention_parts, decide=decide_mention),
    ),
    events=(Noted, Mentioned),
    affinity=lambda command: command.key,
    shards=8,
)
