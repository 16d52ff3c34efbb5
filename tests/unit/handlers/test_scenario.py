"""Scenarios: names, parameters and their descriptions."""

import random
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from handlers.errors import InvalidDomain, InvalidScenario
from handlers.scenario import Parameter, Scenario, Workload, parameter
from tests.unit.handlers.lamps import SwitchOn, domain


class Flicker(Scenario):
    name: ClassVar[str] = "flicker"
    stresses: ClassVar[str] = "one lamp"

    lamps: int = parameter(3, "lamps", "How many lamps there are.", ge=1)
    share: float = parameter(0.5, "of the commands", "How many switch on.", ge=0, le=1)

    def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
        lamps = [f"{prefix}lamp-{number}" for number in range(self.lamps)]
        return Workload(setup=(), load=(SwitchOn(lamp=rng.choice(lamps)) for _ in range(commands)))


def test_parameters_have_default_unit_and_meaning() -> None:
    assert list(Flicker().parameters()) == [
        Parameter(name="lamps", value=3, unit="lamps", meaning="How many lamps there are."),
        Parameter(name="share", value=0.5, unit="of the commands", meaning="How many switch on."),
    ]


def test_parameters_are_set_from_text() -> None:
    made = Flicker.configured({"lamps": "12"})
    assert (made.lamps, made.share) == (12, 0.5)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lamp": "1"}, "flicker: there is no parameter 'lamp'; known are lamps, share"),
        ({"lamps": "0"}, "flicker: lamps: input should be greater than or equal to 1"),
        ({"lamps": "2.5"}, "flicker: lamps: input should be a valid integer, unable to parse string as an integer"),
        ({"share": "1.1"}, "flicker: share: input should be less than or equal to 1"),
    ],
)
def test_an_invalid_parameter_is_reported(values: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidScenario) as raised:
        Flicker.configured(values)
    assert str(raised.value) == sentence


@pytest.mark.parametrize("name", ["", "Flicker", "2nd", "two words", "a_b", "x" * 51])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidScenario, match="needs a name of up to 50 small letters"):
        type("Other", (Flicker,), {"name": name, "__annotations__": {"name": ClassVar[str]}, "__module__": __name__})


def test_a_domain_finds_its_scenarios_by_name() -> None:
    lit = replace(domain, scenarios=(Flicker,))
    assert lit.scenario("flicker") is Flicker
    assert lit.scenario("other") is None


def test_two_scenarios_with_one_name_are_refused() -> None:
    with pytest.raises(InvalidDomain, match="the domain lamps has two scenarios with one name: flicker"):
        replace(domain, scenarios=(Flicker, Flicker))


@pytest.mark.parametrize("default", ["red", None, True, ...])
def test_only_numeric_fields_are_parameters(default: Any) -> None:
    fields = {"name": "other", "colour": default, "__annotations__": {"name": ClassVar[str], "colour": Any}}
    with pytest.raises(InvalidScenario, match="Other has the field colour, which is no parameter: that is a number"):
        type("Other", (Flicker,), {**fields, "__module__": __name__})
