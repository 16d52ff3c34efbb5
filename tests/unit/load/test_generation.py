"""Errors in a scenario's code are reported in a sentence with file and line."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from handlers import Command, InvalidScenario, Scenario, Workload
from tests.support.domains.tally import Count, Counted, domain
from worker.load.generation import generated

COUNT = Count(key="a")


def generate(made: Callable[[], Any]) -> Workload:
    """Generate from a scenario whose workload is a function's result."""

    class Given(Scenario):
        name: ClassVar[str] = "given"
        stresses: ClassVar[str] = "what reads it"

        def workload(self, rng: random.Random, commands: int, *, prefix: str = "") -> Workload:
            assert (rng.random() >= 0, commands, prefix) == (True, 5, "p-")
            return made()  # type: ignore[no-any-return]  # invalid on purpose

    return generated(Given(), (domain,), random.Random(1), 5, prefix="p-")  # noqa: S311  not cryptographic


def told(raised: "pytest.ExceptionInfo[InvalidScenario]") -> str:
    """Return the error without its prefix, which names the scenario."""
    line = generate.__code__.co_firstlineno + 7
    begin, _, rest = str(raised.value).partition(") ")
    assert begin == f"workload of the scenario given ({__file__}:{line}"
    return rest


def failing() -> Iterator[Command]:
    yield COUNT
    raise KeyError("b")


def test_a_valid_workload_is_generated_unchanged() -> None:
    heard: list[int] = []
    made = generate(
        lambda: Workload(
            setup=[COUNT],
            load=(Count(key=key) for key in "bc"),
            copied_later=0.5,
            answered=lambda number, _: heard.append(number),
        )
    )
    assert list(made.setup) == [COUNT]
    assert list(made.load) == [Count(key="b"), Count(key="c")]
    assert (made.copied_at_once, made.copied_later) == (0.0, 0.5)
    assert made.answered is not None
    made.answered(3, datetime.now(UTC))
    assert heard == [3]


def test_commands_are_generated_lazily() -> None:
    made = generate(lambda: Workload(setup=(), load=failing()))
    assert next(iter(made.load)) == COUNT


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: None, "returns a Workload, not None"),
        (lambda: [COUNT], "returns a Workload, not a list"),
        (
            lambda: Workload(setup=None, load=()),  # type: ignore[arg-type]  # invalid on purpose
            "gives None as its set-up, which is an iterable of commands",
        ),
        (
            lambda: Workload(setup=(), load=COUNT.key.upper),  # type: ignore[arg-type]  # invalid on purpose
            "gives a builtin_function_or_method as its load, which is an iterable of commands",
        ),
    ],
)
def test_an_invalid_workload_is_refused(made: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(InvalidScenario) as raised:
        generate(made)
    assert told(raised) == sentence


def test_a_workload_that_fails_names_its_line() -> None:
    def broken() -> Workload:
        raise ZeroDivisionError

    with pytest.raises(InvalidScenario) as raised:
        generate(broken)
    assert told(raised) == f"raised ZeroDivisionError in broken ({__file__}:{broken.__code__.co_firstlineno + 1})"


def test_commands_that_fail_while_they_are_generated_name_their_line() -> None:
    made = generate(lambda: Workload(setup=failing(), load=()))
    with pytest.raises(InvalidScenario) as raised:
        list(made.setup)
    assert told(raised) == f"raised KeyError in failing ({__file__}:{failing.__code__.co_firstlineno + 2}): 'b'"


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [({"key": "a"}, "dict"), (Counted(key="a"), "Counted"), (Command(), "Command")],
)
def test_anything_but_a_command_of_the_domain_is_refused(wrong: Any, kind: str) -> None:
    made = generate(lambda: Workload(setup=(), load=[COUNT, wrong]))
    with pytest.raises(InvalidScenario) as raised:
        list(made.load)
    assert told(raised) == f"has a {kind} in its load; its commands are Count, CountOnce, Explode"


def test_a_failing_answer_callback_is_reported() -> None:
    def deaf(number: int, _: datetime) -> None:
        raise ValueError(number)

    made = generate(lambda: Workload(setup=(), load=(), answered=deaf))
    assert made.answered is not None
    with pytest.raises(InvalidScenario) as raised:
        made.answered(3, datetime.now(UTC))
    assert told(raised) == f"raised ValueError in deaf ({__file__}:{deaf.__code__.co_firstlineno + 1}): 3"
