"""Cached parts: own events advance them; lagging reads and lost events do not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from opentelemetry.context import Context

from eventstore import (
    Append,
    Consistency,
    Event,
    EventStoreError,
    InvalidRequest,
    OutcomeKind,
    OwnRange,
    Position,
    Receipt,
)
from handlers import Accepted, Command, Decider
from handlers.kept_states import KeptState
from tests.support.domains.bank import Moved, account, bank
from tests.support.domains.tally import Counted, Tally, tally
from tests.support.domains.tally import domain as tallying
from tests.unit.worker.rounds.gated_store import GatedStore, all_wait, sent
from tests.unit.worker.staged import command, counted
from worker.counters import Counters
from worker.rounds.job import Job
from worker.rounds.own_events import OwnEvent, OwnEvents
from worker.rounds.part_states import PartStates
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer

ACCEPTED, REJECTED = OutcomeKind.ACCEPTED, OutcomeKind.REJECTED


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
async def teller(store: GatedStore, counters: Counters) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, bank, Settings(), counters)
    yield scheduler
    await scheduler.close()


@pytest.fixture
async def tallier(store: GatedStore, counters: Counters) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, tallying, Settings(), counters)
    yield scheduler
    await scheduler.close()


async def transfer(teller: Scheduler, source: str, target: str, amount: int) -> OutcomeKind:
    answer = await teller.process(command("Transfer", source=source, target=target, amount=amount))
    return answer.receipt.outcome.kind


async def test_an_own_event_advances_every_part_that_it_matches(
    store: GatedStore, teller: Scheduler, counters: Counters
) -> None:
    await teller.process(command("Deposit", account="a", amount=10))
    assert await transfer(teller, "b", "c", 1) is REJECTED
    reads = len(store.consistencies)
    # It reads only a, and also matches b.
    assert await transfer(teller, "a", "b", 5) is ACCEPTED
    assert await transfer(teller, "b", "c", 5) is ACCEPTED
    assert (len(store.consistencies), counters.conflicts) == (reads, 0)


async def test_a_part_whose_last_append_was_own_needs_no_read(store: GatedStore, tallier: Scheduler) -> None:
    for _ in range(3):
        await tallier.process(command("Count", Key="a", Limit=9))
    assert len(store.consistencies) == 1


async def test_a_doubted_state_is_read_once_before_the_next_decision(
    store: GatedStore, tallier: Scheduler, counters: Counters
) -> None:
    await tallier.process(command("Count", Key="a", Limit=9))
    other = Scheduler(store, tallying, Settings())
    await other.process(command("Count", Key="a", Limit=9))
    await other.close()
    reads = len(store.consistencies)
    tallier.doubt_states()
    for _ in range(3):
        await tallier.process(command("Count", Key="a", Limit=9))
    assert (counters.conflicts, counters.attempts) == (0, 4)
    # A replica may not have the other scheduler's event.
    assert store.consistencies[reads:] == [Consistency.STRONG]


async def test_events_decided_in_another_process_are_read_before_later_decisions(
    store: GatedStore, tallier: Scheduler, counters: Counters
) -> None:
    """As for suspected poison: the isolation process records events that this one does not know."""
    await tallier.process(command("Count", Key="a", Limit=9))
    apart = Job(command("Count", Key="a", Limit=9), lambda *_: None, context=Context())
    tallier.hold_back_others(apart)
    other = Scheduler(store, tallying, Settings())
    await other.process(apart.message)
    await other.close()
    tallier.let_others_pass(apart)
    await tallier.process(command("Count", Key="a", Limit=9))
    assert (counters.conflicts, counters.attempts) == (0, 2)


async def test_an_own_event_replaced_by_a_failover_is_in_no_state(store: GatedStore, teller: Scheduler) -> None:
    await teller.process(command("Deposit", account="a", amount=10))
    assert await transfer(teller, "b", "c", 1) is REJECTED
    assert await transfer(teller, "a", "b", 5) is ACCEPTED
    ghost = store._log.events.pop()
    other = Event(type="Moved", payload={"source": "a", "target": "x", "amount": 5})
    store._log.events.append(other.recorded(ghost.sequence_number, token=99))
    # The part of b was read before, and has the lost event in an own range.
    assert await transfer(teller, "b", "c", 5) is REJECTED


async def test_a_lost_own_event_is_in_no_state_though_a_later_one_follows_its_number(
    store: GatedStore, teller: Scheduler
) -> None:
    for name in ("a", "z"):
        await teller.process(command("Deposit", account=name, amount=10))
    assert await transfer(teller, "b", "c", 1) is REJECTED
    assert await transfer(teller, "a", "b", 5) is ACCEPTED
    store._log.events.pop()
    # Another event gets the number. The next one is also in the part of b; neither was decided on it.
    assert (await teller.process(command("Deposit", account="q", amount=1))).receipt.first == 3
    assert await transfer(teller, "z", "b", 1) is ACCEPTED
    assert await transfer(teller, "b", "c", 6) is REJECTED


class Grant(Command):
    account: str


granting = replace(
    bank,
    deciders=(
        *bank.deciders,
        Decider(
            command=Grant,
            parts=lambda _: (),
            decide=lambda command: Accepted(events=(Moved(source="cash", target=command.account, amount=1),)),
        ),
    ),
)


class LosingStore(GatedStore):
    """Refuses the second of three members for a value; between the halves, a failover loses the first half."""

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        if len(appends) != 3:
            return await super().append_chain(appends)
        before = await super().append_chain(appends[:1])
        self._log.events.pop()
        await self.append([Event(type="Moved", payload={"source": "x", "target": "y", "amount": 7})])
        return [*before, InvalidRequest("the database refuses a value"), *await super().append_chain(appends[2:])]


@pytest.mark.usefixtures("one_round")
async def test_the_first_half_of_a_split_chain_is_in_no_state_if_a_failover_loses_it() -> None:
    store = LosingStore()
    teller = Scheduler(store, granting, Settings())
    await teller.process(command("Deposit", account="a", amount=10))
    assert await transfer(teller, "b", "c", 1) is REJECTED
    store.may_answer.clear()
    blocker = sent(teller, command("Deposit", account="blocker", amount=1))
    await all_wait()
    three = [
        sent(teller, command("Transfer", source="a", target="b", amount=5)),
        sent(teller, command("Grant", account="n")),
        sent(teller, command("Grant", account="b")),
    ]
    await all_wait()
    store.may_answer.set()
    await blocker
    found = await asyncio.gather(*three, return_exceptions=True)
    assert [type(each) for each in found] == [Answer, InvalidRequest, Answer]
    assert await transfer(teller, "b", "c", 6) is REJECTED
    await teller.close()


async def test_a_part_that_others_events_of_the_round_enter_has_a_limited_number_of_ranges(
    teller: Scheduler,
) -> None:
    await teller.process(command("Deposit", account="z", amount=99))
    assert await transfer(teller, "b", "c", 999) is REJECTED
    entry, most = teller._states._entries[account.at("b")], 0
    for _ in range(20):
        # The first member validates the part, up to its own place; the event of the second lies above.
        await asyncio.gather(transfer(teller, "b", "c", 999), transfer(teller, "z", "b", 1))
        most = max(most, len(entry.ranges))
    assert most == 9
    assert entry.state.balance == 20


async def test_own_events_lost_by_a_failover_are_never_folded_again(store: GatedStore, tallier: Scheduler) -> None:
    for _ in range(5):
        await tallier.process(command("Count", Key="a", Limit=9))
    store._log.events = store._log.events[:2]
    store._log.receipts.clear()
    answers = [await tallier.process(command("Count", Key=key, Limit=3)) for key in ("b", "a", "a")]
    assert [answer.receipt.outcome.kind for answer in answers] == [ACCEPTED, ACCEPTED, REJECTED]


async def test_a_part_beyond_a_truncated_log_is_read_again(store: GatedStore, teller: Scheduler) -> None:
    await teller.process(command("Deposit", account="a", amount=10))
    assert await transfer(teller, "b", "c", 1) is REJECTED
    assert await transfer(teller, "a", "b", 5) is ACCEPTED
    teller._states.distrust([teller._states._entries[account.at("b")]])
    store._log.events.pop()
    # No read can reach the number of the lost event.
    assert await asyncio.wait_for(transfer(teller, "b", "c", 5), 30) is REJECTED


async def test_a_conflict_with_an_event_that_a_failover_lost_causes_no_endless_reads(teller: Scheduler) -> None:
    await teller.process(command("Deposit", account="a", amount=10))
    # As after a conflict with event 5, which no read of the primary can reach any more.
    teller._states.distrust([teller._states._entries[account.at("a")]], 5)
    assert await asyncio.wait_for(transfer(teller, "a", "b", 5), 30) is ACCEPTED


class SplittingStore(GatedStore):
    """Refuses the second of three members for a value; another writer records between the halves."""

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        if len(appends) != 3:
            return await super().append_chain(appends)
        before = await super().append_chain(appends[:1])
        await self.append([Event(type="Moved", payload={"source": "z", "target": "y", "amount": 7})])
        return [*before, InvalidRequest("the database refuses a value"), *await super().append_chain(appends[2:])]


@pytest.mark.parametrize("reads_it", [True, False])
async def test_events_of_others_between_the_halves_of_a_split_chain_are_seen_only_after_a_read(
    counters: Counters,
    reads_it: bool,  # noqa: FBT001  a parametrised case
) -> None:
    store = SplittingStore()
    teller = Scheduler(store, bank, Settings(), counters)
    for part in ("y", "n", "other", "rich"):
        await teller.process(command("Deposit", account=part, amount=1))
    store.may_answer.clear()
    blocker = sent(teller, command("Deposit", account="blocker", amount=1))
    await all_wait()
    first = (
        command("Deposit", account="y", amount=1)
        if reads_it
        else command("Transfer", source="rich", target="y", amount=1)
    )
    three = [sent(teller, first)]
    three += [sent(teller, command("Deposit", account=name, amount=1)) for name in ("n", "other")]
    await all_wait()
    store.may_answer.set()
    await blocker
    found = await asyncio.gather(*three, return_exceptions=True)
    assert [type(each) for each in found] == [Answer, InvalidRequest, Answer]
    # y has 1, and 1 from the first half; 7 was recorded between the halves.
    assert await transfer(teller, "y", "c", 9) is ACCEPTED
    await teller.close()


def known(number: int, counted_to: int) -> KeptState:
    return KeptState(state=Tally(counted_to), position=Position(number=number, token=number))


def test_a_read_below_the_last_own_event_replaces_no_state() -> None:
    own = OwnEvents()
    states = PartStates(own, 10, 10**6)
    part = tally.at("a")
    (entry,) = states.use([part])
    states.keep(part, known(2, 1))
    event = OwnEvent(counted().recorded(5, 5), Counted(key="a"))
    event.number, event.range = 5, OwnRange(first=4, last=Position(number=5, token=5))
    own.add([event])
    own.settle(1)
    states.advance(entry)
    assert entry.state == Tally(2)
    states.keep(part, known(4, 7))
    states.advance(entry)
    assert (entry.state, entry.number) == (Tally(2), 5)
    states.keep(part, known(6, 2))
    states.advance(entry)
    assert (entry.state, entry.number, entry.ranges) == (Tally(2), 6, ())


def test_a_part_far_behind_the_head_is_read() -> None:
    states = PartStates(OwnEvents(), 10, 10**6)
    part = tally.at("a")
    (entry,) = states.use([part])
    states.keep(part, known(1, 0))
    assert states.is_known(entry)
    states.note_head(502)
    assert not states.is_known(entry)


def test_the_hottest_parts_have_the_most_commands_since_the_last_query() -> None:
    states = PartStates(OwnEvents(), 10, 10**6)
    a, b, c = (tally.at(key) for key in "abc")
    states.use([a, a, a])
    # Before the first query, nothing is counted.
    assert states.hot.take(10) == []
    (cold,) = states.use([c])
    states.release([cold])
    for _ in range(8):
        states.release(states.use([a]))
    (entry,) = states.use([b])
    states.hot.note_conflict(entry)
    found = [(hot.key, hot.commands, hot.conflicts) for hot in states.hot.take(2)]
    assert found == [('["b"]', 1, 1), ('["a"]', 8, 0)]
    assert states.hot.take(10) == []
    # A conflict may follow the count of the last command that has read the part.
    states.hot.note_conflict(entry)
    states.use([b])
    assert [(hot.key, hot.commands, hot.conflicts) for hot in states.hot.take(10)] == [('["b"]', 1, 1)]


def test_a_hot_part_is_found_among_very_many() -> None:
    states = PartStates(OwnEvents(), 10_000, 10**8)
    states.hot.take(0)
    for n in range(6000):
        states.use([tally.at("hot")] if n % 100 == 0 else [tally.at(str(n))])
    assert [(hot.key, hot.commands) for hot in states.hot.take(1)] == [('["hot"]', 60)]
    # Parts that were not counted before are counted now.
    states.release(states.use([tally.at("5999")]))
    assert [(hot.key, hot.commands) for hot in states.hot.take(9)] == [('["5999"]', 1)]


def test_a_transaction_is_forgotten_as_a_whole() -> None:
    own = OwnEvents(most_recorded=2)
    last = Position(number=9, token=9)
    for first, count in ((1, 2), (3, 4), (7, 1)):
        own_range = OwnRange(first=first, last=last)
        for number in range(first, first + count):
            event = OwnEvent(counted().recorded(number, 0), Counted(key="a"))
            event.number, event.range = number, own_range
            own.add([event])
    own.settle(7)
    own.trim()
    # By the limit on their number, only the last two would stay: 6 and 7.
    assert [each.number for each in own.matching(own.search(tally.at("a").filter), after=0, up_to=7)] == [7]
    assert own.gone == 6


async def test_a_round_larger_than_the_remembered_events_leaves_correct_states(
    store: GatedStore, tallier: Scheduler
) -> None:
    tallier._states._own._most_recorded = 2
    store.may_answer.clear()
    blocker = sent(tallier, command("Count", Key="b"))
    await all_wait()
    tasks = [sent(tallier, command("Count", Key="a", Limit=9)) for _ in range(6)]
    await all_wait()
    store.may_answer.set()
    await asyncio.gather(blocker, *tasks)
    again = await tallier.process(command("Count", Key="a", Limit=6))
    assert again.receipt.outcome.kind is REJECTED
    entry = tallier._states._entries[tally.at("a")]
    assert entry.state == Tally(6)


async def test_a_member_without_events_advances_its_parts_only_to_its_place_in_the_chain(
    store: GatedStore, teller: Scheduler, counters: Counters
) -> None:
    assert await transfer(teller, "a", "c", 1) is REJECTED
    store.may_answer.clear()
    blocker = sent(teller, command("Deposit", account="other", amount=1))
    await all_wait()
    # The first is rejected without an event; the second, which does not read the part, advances it.
    tasks = [
        sent(teller, command("Transfer", source="a", target="c", amount=1)),
        sent(teller, command("Deposit", account="a", amount=2)),
    ]
    await all_wait()
    store.may_answer.set()
    await asyncio.gather(blocker, *tasks)
    entry = teller._states._entries[account.at("a")]
    assert entry.kept is not None
    log = [event for event in store._log.events if account.at("a").filter.holds(event)]
    assert entry.kept.state.balance == sum(
        event.payload["amount"] for event in log if event.sequence_number <= entry.kept.position.number
    )
    assert await transfer(teller, "a", "c", 2) is ACCEPTED
    assert counters.conflicts == 0
