"""The warehouse's scenarios: reproducible by seed, of the requested size, and as described."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import pytest

from eventstore import FilterShape
from handlers import library, warehouse
from handlers.model import Command
from handlers.scenario import Scenario, Workload
from handlers.warehouse import domain
from handlers.warehouse.move_product import MoveProduct, period_of
from handlers.warehouse.receive_pieces import ReceivePieces
from handlers.warehouse.reserve_pieces import ReservePieces
from handlers.warehouse.scenarios.bounded import Bounded
from handlers.warehouse.scenarios.broad import Broad
from handlers.warehouse.scenarios.new_orders import NewOrders
from handlers.warehouse.scenarios.two_domains import TwoDomains
from handlers.warehouse.take_stock import TakeStock

DOMAINS = {decider.command: owner for owner in (library.domain, warehouse.domain) for decider in owner.deciders}
NAMES = {"order", "product", "delivery", "count", "bay", "book_id", "reader_id"}
every_scenario = pytest.mark.parametrize("kind", domain.scenarios, ids=lambda kind: kind.name)


def workload(scenario: Scenario, seed: int, commands: int, prefix: str = "") -> Workload:
    return scenario.workload(random.Random(seed), commands, prefix=prefix)  # noqa: S311  not cryptographic


def generated(scenario: Scenario, seed: int, commands: int, prefix: str = "") -> tuple[list[Command], list[Command]]:
    made = workload(scenario, seed, commands, prefix)
    return list(made.setup), list(made.load)


def names(command: Command) -> Iterator[str]:
    return (str(value) for field, value in command.model_dump().items() if field in NAMES)


def test_there_are_four_scenarios() -> None:
    assert [kind.name for kind in domain.scenarios] == ["new-orders", "broad", "bounded", "two-domains"]


@every_scenario
def test_the_same_seed_generates_the_same_commands_and_another_others(kind: type[Scenario]) -> None:
    assert generated(kind(), 7, 500) == generated(kind(), 7, 500)
    assert generated(kind(), 7, 500) != generated(kind(), 8, 500)


@every_scenario
@pytest.mark.parametrize("commands", [1, 137, 3000])
def test_it_has_the_requested_number_of_commands(kind: type[Scenario], commands: int) -> None:
    assert len(generated(kind(), 1, commands)[1]) == commands


@every_scenario
def test_every_command_belongs_to_its_domain(kind: type[Scenario]) -> None:
    for command in (command for part in generated(kind(), 1, 1000) for command in part):
        owner = DOMAINS[type(command)]
        assert owner.name in {domain.name, *kind.beside}
        body = json.loads(json.dumps(command.model_dump(by_alias=True)))
        assert owner.parse(type(command).__name__, body, allow_unknown_fields=False) == command


@every_scenario
def test_the_set_up_delivers_everything_that_is_ordered_once(kind: type[Scenario]) -> None:
    setup, load = generated(kind(), 1, 2000)
    assert max(Counter(map(repr, setup)).values(), default=1) == 1
    there = Counter[str]()
    for command in setup:
        if isinstance(command, ReceivePieces):
            there[command.product] += command.pieces
    wanted = Counter(command.product for command in load if isinstance(command, ReservePieces))
    assert wanted <= there


@every_scenario
def test_another_run_uses_other_names(kind: type[Scenario]) -> None:
    first, second = ([*setup, *load] for setup, load in (generated(kind(), 1, 500, prefix) for prefix in ("", "x-")))
    assert [[f"x-{name}" for name in names(command)] for command in first] == [list(names(each)) for each in second]


@every_scenario
def test_every_parameter_has_a_unit_and_a_meaning(kind: type[Scenario]) -> None:
    assert kind.stresses
    for parameter in kind().parameters():
        assert parameter.unit
        assert parameter.meaning.endswith(".")


def test_new_orders_combine_a_long_history_and_a_new_key() -> None:
    setup, load = generated(NewOrders(history=300), 1, 1000)
    orders = [command for command in load if isinstance(command, ReservePieces)]
    products = Counter(command.product for command in orders)
    ((first, often), *_) = products.most_common()
    assert first == "product-1"
    assert 750 < often < 900
    assert sum(first in set(names(command)) for command in setup) == 301
    repeated = len(orders) - len({command.order for command in orders})
    assert 0 < repeated < 30


def test_counts_of_everything_are_mixed_with_narrow_boundaries() -> None:
    _, load = generated(Broad(), 1, 5000)
    shapes = {
        kind: {part.filter.shape for command in load if type(command) is kind for part in domain.reads(command).parts}
        for kind in (TakeStock, ReservePieces)
    }
    assert shapes == {TakeStock: {FilterShape.TYPES}, ReservePieces: {FilterShape.TYPES_AND_PREDICATES}}
    counts = [command for command in load if isinstance(command, TakeStock)]
    assert 60 < len(counts) < 140
    assert len({command.count for command in counts}) == len(counts)


def test_moves_name_the_position_of_an_answer() -> None:
    made = workload(Bounded(old_share=0.5), 1, 1000)
    assert made.answered is not None
    load = iter(made.load)
    first = next(load)
    assert isinstance(first, MoveProduct)
    assert (first.seen, first.period) == (0, 0)
    now = datetime.now(UTC)
    for number in range(1, 301):
        made.answered(number, now)
    rest = [command for command in load if isinstance(command, MoveProduct)]
    assert {command.period for command in rest} == {period_of(now)}
    # The position of one of the last hundred answers.
    seen = Counter(command.seen for command in rest)
    assert 400 < seen[300] < 600
    assert min(seen) > 200
    bounds = [part.filter.above for part in domain.reads(rest[0]).parts]
    assert bounds == [rest[0].seen, 0]


def test_a_late_answer_does_not_move_the_position_back() -> None:
    made = workload(Bounded(old_share=0), 1, 10)
    assert made.answered is not None
    made.answered(9, datetime.now(UTC))
    made.answered(5, datetime.now(UTC))
    assert {command.seen for command in made.load if isinstance(command, MoveProduct)} == {9}


def test_two_domains_alternate() -> None:
    _, load = generated(TwoDomains(), 1, 1001)
    owners = [DOMAINS[type(command)].name for command in load]
    assert Counter(owners) == {"warehouse": 501, "library": 500}
    assert list(islice(owners, 4)) == ["warehouse", "library"] * 2
