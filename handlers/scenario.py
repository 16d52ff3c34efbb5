"""The scenario: generates commands for a load run."""

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
    """The commands of a load run.

    Attributes:
        setup: Commands that the load depends on; they are answered before the load starts. They are sent concurrently,
            in no order.
        load: The commands of the load itself.
        copied_at_once: The share of the load's commands that are sent twice at the same time, from 0 to 1; by default
            0.
        copied_later: The share that are sent again after they are answered, from 0 to 1; by default 0.
        answered: Called with the position number of each answer that has one, and the time of the answer; None, the
            default, for no calls. The load is generated while it is sent, so it can refer to earlier answers.
    """

    setup: Iterable[Command]
    load: Iterable[Command]
    copied_at_once: float = 0.0
    copied_later: float = 0.0
    answered: Callable[[int, datetime], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A domain whose store is interrupted repeatedly during the load.

    Attributes:
        domain: The name of the domain. It needs a store of its own, and workers that the run has started.
        up: The time in seconds that its store is up between two outages.
        down: The duration of each outage in seconds.
    """

    domain: str
    up: float
    down: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number that configures a scenario.

    Attributes:
        name: The parameter's name.
        value: The parameter's present value.
        unit: The unit of the value.
        meaning: The meaning of the parameter, in a sentence.
    """

    name: str
    value: Any
    unit: str
    meaning: str


def parameter(default: Any, unit: str, meaning: str, **bounds: Any) -> Any:
    """Declare a parameter of a scenario.

    Args:
        default: The default value.
        unit: The unit of the value.
        meaning: The meaning of the parameter, in a sentence.
        bounds: The bounds of the value, as named by pydantic: ``ge``, ``le``, ``gt``, ``lt``.
    """
    return Field(default=default, description=meaning, json_schema_extra={"unit": unit}, **bounds)


class Scenario(BaseModel):
    """Base of a domain's scenarios. Its fields are its parameters, declared with ``parameter``.

    Attributes:
        name: The scenario's name: up to 50 small letters, digits and ``-``, beginning with a letter.
        stresses: What it stresses, in a few words.
        beside: The names of other domains that it sends commands to; they must be served, too. By default none.

    Raises:
        InvalidScenario: A subclass has an invalid name, or a field that is no parameter.
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
        """Build the scenario with these parameter values; the others have their defaults.

        Args:
            values: The values by parameter name; a text is parsed as a number.

        Raises:
            InvalidScenario: A parameter does not exist, or its value is out of bounds.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise InvalidScenario(f"{cls.name}: {'; '.join(cls._problems(error))}") from None

    def parameters(self) -> Iterator[Parameter]:
        """Iterate over the parameters, in order of declaration."""
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            unit = extra.get("unit") if isinstance(extra, dict) else None
            yield Parameter(name=name, value=getattr(self, name), unit=str(unit or ""), meaning=field.description or "")

    def outage(self) -> Outage | None:
        """Return the store outages of the load; by default None."""
        return None

    @abstractmethod
    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        """Generate a workload.

        Args:
            rng: The random generator; the same state generates the same commands.
            commands: The number of commands in the load.
            prefix: A prefix of every name in the workload, so that runs on one log do not affect each other; by default
                empty.
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
