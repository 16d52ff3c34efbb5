"""A domain is refused at its creation if its commands or events would be read differently from how they are written."""

import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, replace
from datetime import date
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    InstanceOf,
    Json,
    PlainSerializer,
    PostgresDsn,
    SecretStr,
    StrictFloat,
    StrictInt,
    StrictStr,
    computed_field,
    create_model,
)
from pydantic_core import CoreSchema, core_schema

from handlers import Command, Decider, DomainEvent, InvalidDomain, PersistentMap, Unchanged
from tests.unit.handlers.lamps import Broke, SwitchOn, domain


class Inner(BaseModel):
    raw: bytes | None = None
    again: "list[Inner]" = []


class StrictInner(BaseModel):
    model_config = ConfigDict(strict=True)

    day: date


class OneWay(BaseModel):
    amount: int = Field(serialization_alias="Amount")


@dataclass
class Plain:
    raw: bytes


Field_ = tuple[Any, Any]


def event(**fields: Field_) -> type[DomainEvent]:
    return create_model("Broken", __base__=DomainEvent, **fields)  # type: ignore[call-overload,no-any-return]


def command(**fields: Field_) -> type[Command]:
    return create_model("Break", __base__=Command, **fields)  # type: ignore[call-overload,no-any-return]


BYTES = "holds bytes, which are written as base64 and read as text; use a str"
STRICT = "is strict, and would not read back what JSON holds as something else; leave strict out"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"raw": (bytes, ...)}, f"Broken.raw {BYTES}"),
        ({"raw": (str | bytes, ...)}, f"Broken.raw {BYTES}"),
        ({"raw": (dict[str, list[bytes]], {})}, f"Broken.raw {BYTES}"),
        ({"inner": (Inner, ...)}, f"Inner.raw {BYTES}"),
        ({"inner": (tuple[Inner, ...] | None, None)}, f"Inner.raw {BYTES}"),
        ({"plain": (Plain, ...)}, f"Plain.raw {BYTES}"),
        ({"inner": (StrictInner, ...)}, f"StrictInner {STRICT}"),
        ({"day": (Annotated[date, Field(strict=True)], ...)}, f"Broken.day {STRICT}"),
        (
            {"seats": (int, Field(serialization_alias="Seats"))},
            "Broken.seats is written as Seats and read as seats; give it one alias",
        ),
        (
            {"seats": (int, Field(validation_alias="Seats"))},
            "Broken.seats is written as seats and read as Seats; give it one alias",
        ),
        (
            {
                "seats": (
                    int,
                    Field(validation_alias=AliasChoices("Old", AliasPath("new", 0)), serialization_alias="New"),
                )
            },
            "Broken.seats is written as New and read as Old; give it one alias",
        ),
        (
            {"seats": (int, Field(validation_alias=AliasPath("all", 0)))},
            "Broken.seats is written as seats and read as a path; give it one alias",
        ),
        ({"one": (OneWay, ...)}, "OneWay.amount is written as Amount and read as amount; give it one alias"),
    ],
)
def test_a_model_that_is_not_read_as_it_is_written_is_refused(fields: dict[str, Field_], problem: str) -> None:
    with pytest.raises(InvalidDomain) as raised:
        replace(domain, events=(*domain.events, event(**fields)))
    assert str(raised.value) == f"the domain lamps has the event Broken, but {problem}"
    decider = Decider(command=command(**fields), parts=lambda _: (), decide=lambda _: Unchanged())
    with pytest.raises(InvalidDomain) as raised:
        replace(domain, deciders=(decider,))
    assert str(raised.value) == f"the domain lamps has the command Break, but {problem.replace('Broken.', 'Break.')}"


class Size(Enum):
    SMALL = (1, 2)


class Share(Enum):
    TENTH = 0.1


class Since(Enum):
    FIRST = date(2026, 1, 2)


class Mood(Enum):
    GLAD = "glad"


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    watts: int

    @computed_field  # type: ignore[prop-decorator]  # mypy does not support decorated properties
    @property
    def milliwatts(self) -> int:
        return self.watts * 1000


class Handmade:
    """A class that validates only its own instances."""

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> CoreSchema:
        return core_schema.is_instance_schema(cls)


UNREAD = "which is not read back as it is written"


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Size, f"Broken.value may hold <Size.SMALL: (1, 2)>, {UNREAD}; give it a text or an integer"),
        (list[Share], f"Broken.value may hold <Share.TENTH: 0.1>, {UNREAD}; give it a text or an integer"),
        (
            Since | None,
            f"Broken.value may hold <Since.FIRST: datetime.date(2026, 1, 2)>, {UNREAD}; give it a text or an integer",
        ),
        (Literal["sad", Mood.GLAD], f"Broken.value may hold <Mood.GLAD: 'glad'>, {UNREAD}; use what is written for it"),
        (Closed, "Closed forbids other fields when it is read, and milliwatts is one that it writes"),
        (InstanceOf[date], "Broken.value takes objects of the class date alone, which nothing that is read is"),
        (
            Handmade,
            "Broken.value takes objects of the class Handmade alone, which nothing that is read is",
        ),
    ],
)
def test_a_field_that_cannot_be_read_back_is_refused(kind: Any, problem: str) -> None:
    """After such an event, no command that reads it could be decided; a valid command would be refused."""
    test_a_model_that_is_not_read_as_it_is_written_is_refused({"value": (kind, ...)}, problem)


def test_an_event_with_a_validator_that_depends_on_the_clock_is_refused() -> None:
    problem = "must lie in the future whenever it is read, and will not; check it where it is decided"
    for kind in (FutureDate, list[FutureDatetime]):
        with pytest.raises(InvalidDomain, match=rf"Broken\.value {problem}"):
            replace(domain, events=(*domain.events, event(value=(kind, ...))))
        decider = Decider(command=command(value=(kind, ...)), parts=lambda _: (), decide=lambda _: Unchanged())
        assert replace(domain, deciders=(decider,)).has_command("Break")


@dataclass
class Moulded:
    watts: int
    mould: InitVar[str]
    colour: InitVar[str] = "red"


class Doubled(DomainEvent):
    watts: int = Field(alias="Watts")

    @computed_field(alias="Watts")  # type: ignore[prop-decorator]  # as above
    @property
    def more(self) -> int:
        return self.watts + 1


def test_two_fields_with_one_json_name_are_refused() -> None:
    """The first value would be lost, and read as the second."""
    fields = {
        "watts": (int, Field(alias="Watts")),
        "more": (int, Field(validation_alias=AliasChoices("Watts", "More"), serialization_alias="Watts")),
    }
    for kind in (event(**fields), Doubled):
        with pytest.raises(InvalidDomain, match=f"{kind.__name__} writes several fields as Watts; give each a"):
            replace(domain, events=(*domain.events, kind))
    decider = Decider(command=command(**fields), parts=lambda _: (), decide=lambda _: Unchanged())
    with pytest.raises(InvalidDomain, match="Break writes several fields as Watts; give each a name of its own"):
        replace(domain, deciders=(decider,))


def test_an_event_that_omits_a_required_field_is_refused() -> None:
    sometimes = event(note=(str, Field(exclude_if=lambda note: not note)))
    with pytest.raises(
        InvalidDomain, match=r"Broken\.note is left out at times when it is written, and has no default"
    ):
        replace(domain, events=(*domain.events, sometimes))
    with pytest.raises(InvalidDomain, match=r"Moulded\.mould is left out when it is written"):
        replace(domain, events=(*domain.events, event(lamp=(Moulded, ...))))
    with_default = event(note=(str, Field("", exclude_if=lambda note: not note)))
    assert with_default in replace(domain, events=(*domain.events, with_default)).events


NEVER = "it cannot be recorded; use a str, or give it a serializer"


class Half(Enum):
    WHOLE = 1
    HALF = "half"


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (HttpUrl, f"holds a URL: {NEVER}"),
        (PostgresDsn, f"holds a URL: {NEVER}"),
        (list[HttpUrl | None], f"holds a URL: {NEVER}"),
        (Path, f"holds the type Path: {NEVER}"),
        (IPv4Address, f"holds the type IPv4Address: {NEVER}"),
        (IPv6Network, f"holds the type IPv6Network: {NEVER}"),
        (SecretStr, f"holds the type SecretStr: {NEVER}"),
        (complex, "holds a complex number: it cannot be recorded; use two floats, or give it a serializer"),
        (deque[int], "holds a deque: it cannot be recorded; use a tuple, or give it a serializer"),
        (
            Json[int],
            (
                "holds a Json, which is read from a text and written as what the text says: it cannot be recorded; "
                "use what it says, or give it a serializer"
            ),
        ),
        (Annotated[Path, PlainSerializer(str, when_used="json")], f"holds the type Path: {NEVER}"),
        (dict[bool, int], "has keys of the type bool, and those of JSON are texts; use a str for them"),
        (dict[Decimal, int], "has keys of the type decimal, and those of JSON are texts; use a str for them"),
        (dict[tuple[int, int], int], "has keys of the type tuple, and those of JSON are texts; use a str for them"),
        (dict[str | None, int], "has keys of the type nullable, and those of JSON are texts; use a str for them"),
        (dict[str | bool, int], "has keys of the type bool, and those of JSON are texts; use a str for them"),
        (dict[Half, int], "has keys of the type Half, and those of JSON are texts; use a str for them"),
        (dict[Literal[1], int], "has keys of the type Literal, and those of JSON are texts; use a str for them"),
    ],
)
def test_an_event_that_can_never_be_recorded_or_read_is_refused(kind: Any, problem: str) -> None:
    with pytest.raises(InvalidDomain) as raised:
        replace(domain, events=(*domain.events, event(value=(kind, ...))))
    assert str(raised.value) == f"the domain lamps has the event Broken, but Broken.value {problem}"


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Found(Enum):
    PAIR = (1, 2)

    @classmethod
    def _missing_(cls, value: object) -> "Found | None":
        return cls.PAIR if value == [1, 2] else None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Annotated[HttpUrl, PlainSerializer(str)], "https://lamps.example/"),
        (Annotated[HttpUrl, AfterValidator(str)], "https://lamps.example/"),
        (Annotated[Path, PlainSerializer(str)], Path("a")),
        (Annotated[Json[int], PlainSerializer(str)], "5"),
        (Fraction, Fraction(1, 2)),
        (Annotated[list[str], Field(strict=True)], ["a"]),
        (Annotated[dict[str, int], Field(strict=True)], {"a": 1}),
        (StrictFloat, 1.0),
        (StrictFloat, 0.1),
        (dict[date, int], {date(2026, 1, 2): 1}),
        (dict[UUID, int], {UUID(int=1): 1}),
        (dict[float, int], {1.5: 1}),
        (dict[int, int], {1: 1}),
        (dict[Colour, int], {Colour.RED: 1}),
        (dict[Literal["a"], int], {"a": 1}),
        (PersistentMap[str, int], PersistentMap({"a": 1})),
        (Mood, Mood.GLAD),
        (Found, Found.PAIR),
        (Literal["a", 1, True], True),
        (Literal[Colour.RED], Colour.RED),
        (Level, Level.LOW),
        (Sequence[int], [1]),
        (InstanceOf[Sequence[int]], [1]),
        (Annotated[Size, BeforeValidator(lambda pair: Size(tuple(pair)))], [1, 2]),
        (Annotated[Size, PlainSerializer(lambda size: size.name), BeforeValidator(lambda name: Size[name])], "SMALL"),
    ],
)
def test_an_event_that_round_trips_is_accepted(kind: Any, value: Any) -> None:
    made = event(value=(kind, ...))
    more = replace(domain, events=(*domain.events, made))
    fact = made(value=value)
    with warnings.catch_warnings():
        # Pydantic warns about a value whose type a validator has changed.
        warnings.simplefilter("ignore", UserWarning)
        recorded = more.to_record(fact, {})
    assert more.recorded(recorded.recorded(1, 0)) == fact


@pytest.mark.parametrize("kind", [HttpUrl, Path, SecretStr, Json[int], dict[Decimal, int]])
def test_a_command_may_have_fields_that_are_never_written(kind: Any) -> None:
    made = command(value=(kind, ...))
    decider = Decider(command=made, parts=lambda _: (), decide=lambda _: Unchanged())
    assert replace(domain, deciders=(decider,)).has_command("Break")


class StrictEvent(DomainEvent):
    model_config = ConfigDict(strict=True)

    day: date


def test_a_strict_model_is_refused() -> None:
    with pytest.raises(InvalidDomain, match=f"the domain lamps has the event StrictEvent, but StrictEvent {STRICT}"):
        replace(domain, events=(*domain.events, StrictEvent))


def test_an_event_that_excludes_a_field_is_refused() -> None:
    with pytest.raises(InvalidDomain, match=r"Broken\.note is left out when it is written"):
        replace(domain, events=(event(note=(str, Field(exclude=True))),))


@pytest.mark.parametrize(
    "fields",
    [
        {"lamp": (StrictStr, ...), "count": (StrictInt, 0)},
        {"lamp": (str, Field(alias="Lamp"))},
        {"lamp": (str, Field(validation_alias=AliasChoices("Lamp", "Old"), serialization_alias="Lamp"))},
        {"raw": (Annotated[bytes, PlainSerializer(bytes.hex, return_type=str)], ...)},
        {"inner": (Mapping[str, Any], {})},
    ],
)
def test_a_model_that_round_trips_is_accepted(fields: dict[str, Field_]) -> None:
    kind = event(**fields)
    assert kind in replace(domain, events=(*domain.events, kind)).events


class Both(Command, DomainEvent):
    """Both a command and an event."""


@pytest.mark.parametrize("model", [Broke, Both, Command, str])
def test_a_decider_needs_a_command(model: Any) -> None:
    with pytest.raises(InvalidDomain) as raised:
        replace(domain, deciders=(Decider(command=model, parts=lambda _: (), decide=lambda _: Unchanged()),))
    assert str(raised.value) == f"the domain lamps lists {model.__name__} among its commands, which is " + (
        "a DomainEvent as well" if model is Both else "no subclass of Command"
    )


@pytest.mark.parametrize("model", [SwitchOn, Both, DomainEvent, str])
def test_only_events_are_accepted_as_events(model: Any) -> None:
    with pytest.raises(InvalidDomain) as raised:
        replace(domain, events=(*domain.events, model))
    assert str(raised.value) == f"the domain lamps lists {model.__name__} among its events, which is " + (
        "a Command as well" if model is Both else "no subclass of DomainEvent"
    )
