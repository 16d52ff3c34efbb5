"""The reported location of a failure is in the domain's code, not in callers of our code or in libraries below."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pydantic import field_validator

from handlers import DomainEvent
from handlers.domain import Domain
from handlers.place import raised_at
from handlers.registry import load_domains
from tests.unit.handlers.lamps import SwitchOn, decider, domain


class Brittle(DomainEvent):
    lamp: str

    @field_validator("lamp")
    @classmethod
    def _break(cls, _: str) -> str:
        raise LookupError("broken")


def raised(failing: Callable[[], Any]) -> BaseException:
    try:
        failing()
    except Exception as failure:  # noqa: BLE001  tests raise any exception
        return failure
    raise AssertionError


def deciding(decide: Callable[..., Any]) -> Callable[[], Any]:
    made: Any = type(decider)
    other: Any = made(command=SwitchOn, parts=lambda _: (), decide=decide)
    served = Domain(name="lamps", views=(), deciders=(other,), events=domain.events)
    command = SwitchOn(lamp="a")
    return lambda: served.decide(command, served.reads(command), {})


def line_of(function: Callable[..., Any], offset: int) -> tuple[str, str]:
    return function.__name__, f"{__file__}:{function.__code__.co_firstlineno + offset}"


def test_the_domains_line_is_reported_and_not_the_librarys_below_it() -> None:
    def decide_from_text(*_: object) -> None:
        json.loads("{")

    assert raised_at(raised(deciding(decide_from_text))) == line_of(decide_from_text, 1)


def test_our_code_below_the_domains_is_not_reported() -> None:
    def decide_from_nowhere(*_: object) -> None:
        load_domains("nowhere")

    assert raised_at(raised(deciding(decide_from_nowhere))) == line_of(decide_from_nowhere, 1)


def test_a_validator_is_the_domains_code() -> None:
    def decide_brittle(*_: object) -> None:
        Brittle(lamp="a")

    name, place = raised_at(raised(deciding(decide_brittle))) or ("", "")
    assert (name, place.rpartition(":")[0]) == ("_break", __file__)


def test_the_cause_of_our_error_is_reported() -> None:
    def decide_endlessly(*_: object) -> None:
        raise StopIteration

    assert raised_at(raised(deciding(decide_endlessly))) == line_of(decide_endlessly, 1)


def within(module: str, called: Callable[[], Any]) -> Callable[[], Any]:
    """Call a function from a frame of a module."""
    names: dict[str, Any] = {"__name__": module, "called": called}
    exec("def call(): return called()", names)  # noqa: S102  it creates a frame of that module
    call: Callable[[], Any] = names["call"]
    return call


@pytest.mark.parametrize("runner", ["uvloop", "typer.main", "asyncio.runners"])
def test_a_caller_of_our_code_is_not_the_domain(runner: str) -> None:
    """For example an event loop, which has its own frames in the traceback."""

    def decide_badly(*_: object) -> None:
        raise LookupError

    assert raised_at(raised(within("worker.cli", within(runner, deciding(decide_badly))))) == line_of(decide_badly, 1)
    ours = within("worker.cli", within(runner, within("worker.rounds.round", lambda: load_domains("nowhere"))))
    bare = within("worker.cli", within(runner, partial(load_domains, "nowhere")))
    assert raised_at(raised(bare)) is None
    assert raised_at(raised(ours)) is not None  # a lambda of this module, called by ours
    assert raised_at(ValueError("never raised")) is None
