"""The library's scenarios: reproducible by seed, of the requested size, and as described."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, islice, pairwise
from typing import Any

import pytest

from handlers.decider import Command
from handlers.library import domain
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.return_book_copy import ReturnBookCopyFromReader
from handlers.library.scenarios.hot_book import HotBook
from handlers.library.scenarios.hot_reader import HotReader
from handlers.library.scenarios.last_copies import LastCopies
from handlers.library.scenarios.library_day import LibraryDay
from handlers.library.scenarios.loans import Favourites, lent_and_returned
from handlers.library.scenarios.overlapping import Overlapping
from handlers.scenario import Scenario

SEVEN = {
    "uncontended",
    "hot-book",
    "hot-reader",
    "last-copies",
    "overlapping",
    "duplicate-storm",
    "library-day",
}
every_scenario = pytest.mark.parametrize("kind", domain.scenarios, ids=lambda kind: kind.name)


def generated(scenario: Scenario, seed: int, commands: int, prefix: str = "") -> tuple[list[Command], list[Command]]:
    made = scenario.workload(random.Random(seed), commands, prefix=prefix)  # noqa: S311  not cryptographic
    return list(made.setup), list(made.load)


def ids(commands: Sequence[Command]) -> set[str]:
    """Every book and reader named in the commands."""
    return {
        str(value)
        for command in commands
        for name, value in command.model_dump().items()
        if name in {"book_id", "reader_id"}
    }


def boundary(command: Command) -> frozenset[Any]:
    return frozenset(predicate for part in domain.reads(command).parts for predicate in part.filter.predicates)


def test_there_are_seven_scenarios() -> None:
    assert {kind.name for kind in domain.scenarios} > SEVEN


@every_scenario
def test_the_same_seed_generates_the_same_commands(kind: type[Scenario]) -> None:
    assert generated(kind(), 7, 500) == generated(kind(), 7, 500)


@every_scenario
def test_another_seed_generates_others(kind: type[Scenario]) -> None:
    assert generated(kind(), 7, 500) != generated(kind(), 8, 500)


@every_scenario
@pytest.mark.parametrize("commands", [1, 137, 3000])
def test_it_has_the_requested_number_of_commands(kind: type[Scenario], commands: int) -> None:
    assert len(generated(kind(), 1, commands)[1]) == commands


@every_scenario
def test_every_command_belongs_to_the_domain(kind: type[Scenario]) -> None:
    for command in (command for part in generated(kind(), 1, 1000) for command in part):
        body = json.loads(json.dumps(command.model_dump(by_alias=True)))
        assert domain.parse(type(command).__name__, body, allow_unknown_fields=False) == command


@every_scenario
def test_the_set_up_creates_everything_that_the_load_needs_once(kind: type[Scenario]) -> None:
    setup, load = generated(kind(), 1, 2000)
    assert max(Counter(map(repr, setup)).values(), default=1) == 1
    loans = [command for command in load if isinstance(command, LendBookCopyToReader | ReturnBookCopyFromReader)]
    assert {each for each in ids(loans) if not each.startswith("stranger")} <= ids(setup)


@every_scenario
def test_another_run_uses_other_names(kind: type[Scenario]) -> None:
    first, second = ([*setup, *load] for setup, load in (generated(kind(), 1, 500, prefix) for prefix in ("", "x-")))
    assert ids(first)
    assert {f"x-{each}" for each in ids(first)} == ids(second)


@every_scenario
def test_every_parameter_has_a_meaning_and_a_unit_unless_it_is_a_pure_number(kind: type[Scenario]) -> None:
    assert kind.stresses
    for parameter in kind().parameters():
        assert parameter.meaning.endswith("."), parameter
        assert parameter.unit or parameter.name == "exponent"


def test_mixed_has_every_kind_of_command() -> None:
    _, load = generated(domain.scenarios[-1](), 1, 5000)
    kinds = {decider.name for decider in domain.deciders}
    # This command is sent when a loan is overdue, after the end of every load.
    assert {type(command).__name__ for command in load} == kinds - {"MarkLoanOverdue"}


def test_no_two_uncontended_commands_share_a_boundary() -> None:
    kind = domain.scenario("uncontended")
    assert kind is not None
    setup, load = generated(kind(), 1, 1000)
    assert setup == []
    assert len({boundary(command) for command in load}) == 1000


def test_all_readers_want_one_book_at_a_time() -> None:
    _, load = generated(HotBook(readers=50, wishes=100, kept=0), 1, 1000)
    runs = [(book, len(list(run))) for book, run in groupby(command.model_dump()["book_id"] for command in load)]
    # Each lending and its return.
    assert runs == [(f"book-{number}", 200) for number in range(1, 6)]
    assert len({command.model_dump()["reader_id"] for command in load}) == 50


def test_one_reader_asks_for_more_books_than_the_quota() -> None:
    _, load = generated(HotReader(), 1, 1000)
    assert {command.model_dump()["reader_id"] for command in load} == {"reader"}
    opening = [command for command in load[:20] if isinstance(command, LendBookCopyToReader)]
    assert len({command.book_id for command in opening}) > 10


def test_requests_for_last_copies_are_skewed() -> None:
    _, load = generated(LastCopies(books=10, exponent=1.0), 1, 5000)
    wanted = Counter(command.book_id for command in load if isinstance(command, LendBookCopyToReader))
    assert [book for book, _ in wanted.most_common(2)] == ["book-1", "book-2"]
    assert wanted["book-1"] > 5 * wanted["book-10"]


def test_neighbouring_commands_overlap_by_one_half() -> None:
    _, load = generated(Overlapping(pairs=50, jump_share=0), 1, 99)
    shared = [boundary(one) & boundary(other) for one, other in pairwise(load)]
    assert {len(each) for each in shared} == {1}
    # A boundary overlaps only with its neighbours.
    assert not boundary(load[0]) & boundary(load[2])


def test_every_command_of_the_storm_is_delivered_three_times() -> None:
    storm = domain.scenario("duplicate-storm")
    assert storm is not None
    made = storm().workload(random.Random(1), 10)  # noqa: S311  not cryptographic
    assert (made.copied_at_once, made.copied_later) == (1.0, 1.0)


def test_a_library_day_has_visits_of_up_to_five_books_and_most_bring_all_back() -> None:
    _, load = generated(LibraryDay(away=20), 1, 6000)
    visits = [list(visit) for _, visit in groupby(load, key=lambda each: (type(each), each.model_dump()["reader_id"]))]
    borrowing = [visit for visit in visits if isinstance(visit[0], LendBookCopyToReader)]
    assert {len(visit) for visit in borrowing} == {1, 2, 3, 4, 5}
    counts = Counter(type(each).__name__ for each in load)
    # The loans of the last twenty readers are not returned yet.
    assert 0.8 < counts["ReturnBookCopyFromReader"] / counts["LendBookCopyToReader"] < 1.0


def test_each_lending_is_followed_by_its_return() -> None:
    wishes = iter([("a", "x"), ("b", "y"), ("c", "z")] * 5)
    made = list(lent_and_returned(wishes, kept=2, commands=6))
    assert [type(command).__name__[:4] for command in made] == ["Lend", "Lend", "Retu", "Retu", "Lend", "Lend"]
    assert [command.model_dump()["book_id"] for command in made] == ["a", "b", "a", "b", "c", "a"]


def test_without_an_exponent_requests_are_uniform() -> None:
    favourites = Favourites(random.Random(1), ["a", "b", "c", "d"], 0)  # noqa: S311  not cryptographic
    wanted = Counter(islice(iter(favourites.next, None), 4000))
    assert all(800 < count < 1200 for count in wanted.values())
