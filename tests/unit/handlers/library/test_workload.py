"""The library's workload: the same commands for the same seed, as many as asked for, and all of them well-formed."""

import json
import random
from collections import Counter

import pytest

from handlers.decider import Command
from handlers.library import domain
from handlers.library.workload import workload


def generated(seed: int, commands: int) -> tuple[list[Command], list[Command]]:
    made = workload(random.Random(seed), commands)  # noqa: S311  a workload, not a secret
    return list(made.setup), list(made.load)


def test_the_same_seed_generates_the_same_commands() -> None:
    assert generated(7, 500) == generated(7, 500)


def test_another_seed_generates_others() -> None:
    assert generated(7, 500) != generated(8, 500)


@pytest.mark.parametrize("commands", [0, 1, 137, 5000])
def test_it_has_as_many_commands_as_asked_for(commands: int) -> None:
    setup, load = generated(1, commands)
    assert len(load) == commands
    assert {type(command).__name__ for command in setup} == {"AddBookCopyToCirculation", "RegisterReader"}


def test_every_command_is_one_of_the_domain() -> None:
    for command in (command for part in generated(1, 2000) for command in part):
        body = json.loads(json.dumps(command.model_dump(by_alias=True)))
        assert domain.parse(type(command).__name__, body, allow_unknown_fields=False) == command


def test_the_set_up_names_nothing_twice() -> None:
    setup, _ = generated(1, 2000)
    assert max(Counter(map(repr, setup)).values()) == 1


def test_every_kind_of_command_comes() -> None:
    _, load = generated(1, 5000)
    assert {type(command).__name__ for command in load} == {decider.name for decider in domain.deciders}
