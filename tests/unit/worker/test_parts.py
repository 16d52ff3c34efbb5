"""Decisions over parts: states are never mixed up, and bounds on the number cover only recorded events."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from eventstore import Event, Filter, OutcomeKind, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Rejected, View
from handlers.errors import InvalidParts
from handlers.state_checksum import checked
from tests.support.domains.bank import bank
from tests.unit.worker.staged import StagedStore, command, others_come
from worker.counters import Counters
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer

ACCEPTED, REJECTED = OutcomeKind.ACCEPTED, OutcomeKind.REJECTED


class EditPage(Command):
    page: str
    seen: int


class PageEdited(DomainEvent):
    page: str


def edits(page: str, seen: int) -> Filter:
    """The edits of the page since the number that its editor has seen."""
    edited = Filter.matching().any_event_type_of("PageEdited").and_any_predicate_of(P("page", page))
    return edited.sequence_number_higher_than(seen)


def one_more(count: int, _: DomainEvent) -> int:
    return count + 1


def decide_edit(command: EditPage, count: int) -> Decision:
    return Rejected(reason="edited meanwhile") if count else Accepted(events=(PageEdited(page=command.page),))


edited_since = View(name="edited-since", events=edits, initial=lambda *_: 0, evolve=one_more)
pages = Domain(
    name="pages",
    views=(edited_since,),
    deciders=(
        Decider(
            command=EditPage, parts=lambda command: edited_since.at(command.page, command.seen), decide=decide_edit
        ),
    ),
    events=(PageEdited,),
)


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
async def teller(store: StagedStore, counters: Counters) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, bank, Settings(), counters)
    yield scheduler
    await scheduler.close()


@pytest.fixture
async def editor(store: StagedStore, counters: Counters) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, pages, Settings(), counters)
    yield scheduler
    await scheduler.close()


async def decided(scheduler: Scheduler, *messages: CommandMessage) -> list[OutcomeKind]:
    """Process all of them concurrently."""
    answers = await asyncio.gather(*(scheduler.process(message) for message in messages))
    return [answer.receipt.outcome.kind for answer in answers]


async def test_a_transfer_and_its_reverse_have_their_own_states(teller: Scheduler) -> None:
    await teller.process(command("Deposit", account="a", amount=100))
    assert await decided(teller, command("Transfer", source="a", target="b", amount=10)) == [ACCEPTED]
    back = await teller.process(command("Transfer", source="b", target="a", amount=50))
    assert (back.receipt.outcome.kind, back.receipt.outcome.reason) == (REJECTED, "b has 10")


async def test_dependent_transfers_are_decided_on_the_accounts_balances(
    store: StagedStore, teller: Scheduler, counters: Counters
) -> None:
    await teller.process(command("Deposit", account="a", amount=100))
    store.after_query = [others_come]
    there = [command("Transfer", source="a", target="b", amount=40) for _ in range(3)]
    back = [command("Transfer", source="b", target="a", amount=50) for _ in range(2)]
    # The first two move 80 to b, and the third finds 20; then 50 go back, and 30 are left.
    assert await decided(teller, *there) == [ACCEPTED, ACCEPTED, REJECTED]
    assert await decided(teller, *back) == [ACCEPTED, REJECTED]
    assert counters.conflicts == 0


async def test_a_part_changed_by_others_is_read_before_the_next_decision(store: StagedStore, teller: Scheduler) -> None:
    await teller.process(command("Deposit", account="a", amount=5))
    await store.append([Event(type="Moved", payload={"source": "a", "target": "c", "amount": 3})])
    answer = await teller.process(command("Transfer", source="a", target="b", amount=4))
    # The other writer's event is unknown so far.
    assert (answer.receipt.outcome.reason, answer.attempts) == ("a has 2", 2)


async def test_a_command_names_as_many_parts_of_a_view_as_it_needs(store: StagedStore, teller: Scheduler) -> None:
    await teller.process(command("Deposit", account="b", amount=1))
    answer = await teller.process(command("Close", accounts=["a", "b", "c"]))
    assert answer.receipt.outcome.reason == "left: {'b': 1}"
    await teller.process(command("Transfer", source="b", target="d", amount=1))
    assert await decided(teller, command("Close", accounts=["a", "b", "c"])) == [ACCEPTED]
    # One read of the first account, and one for the two unknown ones; the transfer's own events are known.
    assert len(store.consistencies) == 2


async def test_a_command_that_names_too_many_parts_is_refused(store: StagedStore) -> None:
    teller = Scheduler(store, bank, Settings(worker_most_parts=2))
    with pytest.raises(InvalidParts, match="names 3 parts; a command reads at most 2"):
        await teller.process(command("Close", accounts=["a", "b", "c"]))


async def test_of_two_edits_from_one_number_one_is_refused(store: StagedStore, editor: Scheduler) -> None:
    await store.append([Event(type="PageEdited", payload={"page": "p"})] * 3)
    store.after_query = [others_come]
    edits = [command("EditPage", page="p", seen=3) for _ in range(5)]
    assert await decided(editor, *edits) == [ACCEPTED] + [REJECTED] * 4
    assert await decided(editor, command("EditPage", page="p", seen=3)) == [REJECTED]
    assert await decided(editor, command("EditPage", page="p", seen=4)) == [ACCEPTED]


async def test_a_bound_above_the_head_excludes_later_events_below_it(store: StagedStore, editor: Scheduler) -> None:
    store.after_query = [others_come]
    edits = [command("EditPage", page="p", seen=100) for _ in range(4)]
    # Their numbers are 1 to 4: none is after number 100.
    assert await decided(editor, *edits) == [ACCEPTED] * 4


class Ship(Command):
    parcel: str
    weight: int


class Shipped(DomainEvent):
    parcel: str
    weight: int


def shipments(parcel: str) -> Filter:
    return Filter.matching().any_event_type_of("Shipped").and_any_predicate_of(P("parcel", parcel))


def lightest(state: int, event: DomainEvent) -> int:
    assert isinstance(event, Shipped)
    return state + 100 // event.weight


shipped = View(name="shipped", events=shipments, initial=lambda _: 0, evolve=lightest, stored_every=10)
shipping = Domain(
    name="shipping",
    views=(shipped,),
    deciders=(
        Decider(
            command=Ship,
            parts=lambda command: shipped.at(command.parcel),
            decide=lambda command, _: Accepted(events=(Shipped(parcel=command.parcel, weight=command.weight),)),
        ),
    ),
    events=(Shipped,),
)


async def test_an_event_that_its_view_cannot_fold_fails_its_command_before_it_is_recorded(
    store: StagedStore, counters: Counters
) -> None:
    shipper = Scheduler(store, shipping, Settings(), counters)
    failed, before, after = await asyncio.gather(
        shipper.process(command("Ship", parcel="p", weight=0)),
        shipper.process(command("Ship", parcel="p", weight=1)),
        shipper.process(command("Ship", parcel="p", weight=2)),
        return_exceptions=True,
    )
    assert isinstance(failed, ZeroDivisionError)
    # The other commands of the round are recorded without it.
    assert [answer.receipt.first for answer in (before, after) if isinstance(answer, Answer)] == [1, 2]
    assert [event.payload["weight"] async for event in store.read(Filter.matching_any_event())] == [1, 2]
    assert counters.conflicts == 0
    await shipper.close()


async def test_a_recorded_event_that_its_view_cannot_fold_fails_commands_that_read_it(store: StagedStore) -> None:
    shipper = Scheduler(store, shipping, Settings())
    await store.append([Event(type="Shipped", payload={"parcel": "p", "weight": 0})])
    with pytest.raises(ZeroDivisionError):
        await shipper.process(command("Ship", parcel="p", weight=1))
    assert await decided(shipper, command("Ship", parcel="q", weight=1)) == [ACCEPTED]
    await shipper.close()


@pytest.mark.usefixtures("one_round")
async def test_own_events_count_for_the_storing_of_states(store: StagedStore) -> None:
    shipper = Scheduler(store, shipping, Settings())
    store.after_query = [others_come]
    await decided(shipper, *(command("Ship", parcel="p", weight=1) for _ in range(30)))
    await shipper.close()
    (stored,) = store._states.values()
    # Its last write: the states that became due during a write were written once, with the latest one.
    assert (stored.events, stored.position.number, checked(stored)) == (30, 30, b"3000")
