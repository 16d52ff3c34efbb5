"""A domain for the tests of handlers: lamps that are switched on."""

from pydantic import Field, field_validator, model_validator

from eventstore import Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Rejected, Unchanged, View


class SwitchOn(Command):
    lamp: str = Field(alias="Lamp", max_length=20)
    watts: int = Field(alias="Watts", default=5)

    @field_validator("watts")
    @classmethod
    def _even(cls, watts: int) -> int:
        if watts % 2 == 0:
            raise ValueError("must be odd.")
        return watts

    @model_validator(mode="after")
    def _not_too_bright(self) -> "SwitchOn":
        if self.lamp == "candle" and self.watts > 5:
            raise ValueError("a candle has at most 5 watts")
        return self


class SwitchedOn(DomainEvent):
    lamp: str = Field(alias="Lamp")
    watts: int = Field(alias="Watts")


class Broke(DomainEvent):
    lamp: str = Field(alias="Lamp")


class SwitchingFailed(DomainEvent):
    lamp: str = Field(alias="Lamp")


BROKEN = "lamp is broken"


def events_of(lamp: str) -> Filter:
    return Filter.matching().any_event_type_of("SwitchedOn", "Broke").and_any_predicate_of(P("Lamp", lamp))


def evolve(state: str, event: DomainEvent) -> str:
    return "broken" if isinstance(event, Broke) else "on" if isinstance(event, SwitchedOn) else state


def decide(command: SwitchOn, state: str) -> Decision:
    if state == "broken":
        return Rejected(reason=BROKEN, event=SwitchingFailed(lamp=command.lamp))
    return Unchanged() if state == "on" else Accepted(events=(SwitchedOn(lamp=command.lamp, watts=command.watts),))


light = View(name="light", events=events_of, initial=lambda _: "off", evolve=evolve)
decider = Decider(command=SwitchOn, parts=lambda command: light.at(command.lamp), decide=decide)
domain = Domain(name="lamps", views=(light,), deciders=(decider,), events=(SwitchedOn, Broke, SwitchingFailed))
