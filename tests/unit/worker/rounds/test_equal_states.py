"""Equal states of different events that are one object in Python: small integers, booleans, None."""

from collections.abc import AsyncIterator

import pytest

from eventstore import Event, OutcomeKind
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Rejected, View
from handlers.kept_states import KeptState
from tests.support.domains.bank import Moved, account_events
from tests.unit.worker.rounds.gated_store import GatedStore, all_wait, sent
from tests.unit.worker.staged import command
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings


class Pay(Command):
    source: str
    beside: str
    target: str
    amount: int


def received(state: int, event: DomainEvent) -> int:
    assert isinstance(event, Moved)
    return state + event.amount


turnover = View(name="turnover", events=account_events, initial=lambda _: 0, evolve=received)


def decide_pay(command: Pay, source: int, _: int) -> Decision:
    if source < command.amount:
        return Rejected(reason=f"{command.source} turned over {source}")
    return Accepted(events=(Moved(source=command.source, target=command.target, amount=command.amount),))


paying = Domain(
    name="paying",
    views=(turnover,),
    deciders=(
        Decider(
            command=Pay,
            parts=lambda command: (turnover.at(command.source), turnover.at(command.beside)),
            decide=decide_pay,
        ),
    ),
    events=(Moved,),
)


def moved(source: str, target: str, amount: int) -> Event:
    return Event(type="Moved", payload={"source": source, "target": target, "amount": amount})


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
async def payer(store: GatedStore) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, paying, Settings())
    yield scheduler
    await scheduler.close()


async def test_an_equal_state_of_other_events_is_not_taken_for_the_cached_one(
    store: GatedStore, payer: Scheduler
) -> None:
    await store.append([moved("mint", "rich", 7)])
    for name in ("y", "q", "w"):
        await payer.process(command("Pay", source=name, beside=name, target="c", amount=99))
    store.may_record.clear()
    ours = sent(payer, command("Pay", source="rich", beside="rich", target="y", amount=7))
    await all_wait()
    # Both are decided on top of it: it gives y 7.
    leaving = sent(payer, command("Pay", source="y", beside="q", target="c", amount=14))
    staying = sent(payer, command("Pay", source="w", beside="w", target="c", amount=99))
    await all_wait()
    # Another writer is faster and gives y 7 as well; a replica has that event, but not ours.
    stranger = await store.append([moved("mint", "y", 7)])
    store.may_answer.clear()
    store.may_record.set()
    await all_wait()
    payer._states.keep(turnover.at("y"), KeptState(state=7, position=stranger.position, events=1))
    payer._states.distrust([payer._states._entries[turnover.at("q")]])
    store.may_answer.set()
    await ours
    await staying
    # It had read both events.
    assert (await leaving).receipt.outcome.kind is OutcomeKind.ACCEPTED
