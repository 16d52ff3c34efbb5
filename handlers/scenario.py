"""The scenario: commands for a load run, and what they stress."""

import random
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handlers.errors import InvalidScenario
from handlers.model import Command

__all__ = ["Outage", "Parameter", "Scenario", "Workload", "parameter"]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,49}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Commands for a load run.

    Attributes:
        setup: What the load builds on; settled before the load starts. They are sent many at a time, in no order.
        load: The load itself.
        copied_at_once: The share of the load's commands that are sent once more at the same time, from 0 to 1.
        copied_later: The share that are sent once more when they are answered, from 0 to 1.
        answered: Called with each answer that names a position: the position's number, and when it came. So the load
            can ask for what happened since; it is generated while it is sent.
    """

    setup: Iterable[Command]
    load: Iterable[Command]
    copied_at_once: float = 0.0
    copied_later: float = 0.0
    answered: Callable[[int, datetime], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A domain whose store is to be down now and then during the load.

    Attributes:
        domain: The domain. It needs a store of its own, and workers that the run has started.
        up: How long its store serves between two outages, in seconds.
        down: How long each of them lasts.
    """

    domain: str
    up: float
    down: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number that a scenario can be given.

    Attributes:
        name: Its name.
        value: Its value here.
        unit: In which unit.
        meaning: What it means, in a sentence.
    """

    name: str
    value: Any
    unit: str
    meaning: str


def parameter(default: Any, unit: str, meaning: str, **bounds: Any) -> Any:
    """Declare a parameter of a scenario.

    Args:
        default: Its default.
        unit: In which unit.
        meaning: What it means, in a sentence.
        bounds: Its bounds, as pydantic names them: ``ge``, ``le``, ``gt``, ``lt``.
    """
    return Field(default=default, description=meaning, json_schema_extra={"unit": unit}, **bounds)


class Scenario(BaseModel):
    """Base of a domain's scenarios. Its fields are its parameters, made with ``parameter``.

    Attributes:
        name: What people call it: up to 50 small letters, digits and ``-``, beginning with a letter.
        stresses: What it stresses, in a few words.
        beside: The names of other domains that it has commands of as well; they must be served, too.

    Raises:
        InvalidScenario: When a class is made whose name is not of this form, or with a field that is no parameter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    stresses: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        if not _NAME.fullmatch(getattr(cls, "name", "")):
            raise InvalidScenario(
                f"the scenario {cls.__name__} needs a name of up to 50 small letters, digits and -, "
                "beginning with a letter"
            )
        for name, field in cls.model_fields.items():
            if type(field.default) not in {int, float}:
                raise InvalidScenario(
                    f"the scenario {cls.__name__} has the field {name}, which is no parameter: "
                    "that is a number, with a number as its default"
                )

    @classmethod
    def configured(cls, values: Mapping[str, Any]) -> Self:
        """Make it with these parameters; the others have their defaults.

        Args:
            values: By name; a text is read as a number.

        Raises:
            InvalidScenario: There is no such parameter, or its value is out of bounds.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise InvalidScenario(f"{cls.name}: {'; '.join(cls._problems(error))}") from None

    def parameters(self) -> Iterator[Parameter]:
        """Iterate over its parameters, in their order."""
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            unit = extra.get("unit") if isinstance(extra, dict) else None
            yield Parameter(name=name, value=getattr(self, name), unit=str(unit or ""), meaning=field.description or "")

    def outage(self) -> Outage | None:
        """Return whose store is to be down now and then; None, as here, if no store is."""
        return None

    @abstractmethod
    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """Generate a workload.

        Args:
            rng: The same state generates the same commands.
            commands: How many the load has.
            prefix: What every name in it begins with, so that runs on one log do not meet each other.
        """

    @classmethod
    def _problems(cls, error: ValidationError) -> Iterator[str]:
        for problem in error.errors(include_url=False):
            name = ".".join(map(str, problem["loc"]))
            if problem["type"] == "extra_forbidden":
                known = ", ".join(cls.model_fields) or "none"
                yield f"there is no parameter {name!r}; known are {known}"
            else:
                text = problem["msg"].removeprefix("Value error, ")
                yield f"{name}: {text[:1].lower()}{text[1:]}"
