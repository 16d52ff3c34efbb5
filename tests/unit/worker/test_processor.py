"""The processor on the store in memory: each race is staged by acting between its query and its append."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import (
    ACCEPTED,
    Append,
    ConcurrencyConflict,
    Consistency,
    Event,
    EventStoreError,
    EventStream,
    Filter,
    IdempotencyKeyReused,
    InvalidRequest,
    MemoryEventStore,
    Outcome,
    OutcomeKind,
    OutcomeUnknown,
    Position,
    Receipt,
)
from tests.unit.worker.tally import domain
from worker.counters import Counters
from worker.message import BadMessage, CommandMessage
from worker.processor import Processor
from worker.settings import Settings

Hook = Callable[[], Awaitable[None]]


class StagedStore(MemoryEventStore):
    """Runs one hook after each query, while hooks are left; may answer eventual reads from a frozen copy."""

    def __init__(self) -> None:
        super().__init__()
        self.after_query: list[Hook] = []
        self.consistencies: list[Consistency] = []
        self.replica: MemoryEventStore | None = None
        self.unknown_outcomes = 0
        self.chains: list[int] = []

    async def query(
        self,
        boundary: Filter,
        *,
        consistency: Consistency = Consistency.STRONG,
        min_position: Position | None = None,
    ) -> EventStream:
        self.consistencies.append(consistency)
        if consistency is Consistency.EVENTUAL and self.replica is not None:
            stream = replace(await self.replica.query(boundary, min_position=min_position), replica=True)
        else:
            stream = await super().query(boundary, min_position=min_position)
        if self.after_query:
            await self.after_query.pop(0)()
        return stream

    async def append(
        self,
        events: Sequence[Event],
        *,
        boundary: Filter | None = None,
        after: Position | None = None,
        key: UUID | None = None,
        digest: bytes | None = None,
        outcome: Outcome = ACCEPTED,
    ) -> Receipt:
        receipt = await super().append(events, boundary=boundary, after=after, key=key, digest=digest, outcome=outcome)
        if self.unknown_outcomes:
            self.unknown_outcomes -= 1
            raise OutcomeUnknown("the connection broke")
        return receipt

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        self.chains.append(len(appends))
        return await super().append_chain(appends)

    def freeze_replica(self) -> None:
        """Let eventual reads see what is recorded now, and nothing later."""
        self.replica = MemoryEventStore()
        self.replica._events = list(self._events)


def command(kind: str, command_id: UUID | None = None, **body: Any) -> CommandMessage:
    identity = command_id or uuid4()
    return CommandMessage(
        command_id=identity,
        command_type=kind,
        body=json.dumps(body).encode(),
        correlation_id="visit",
        causation_id=str(identity),
        headers={},
    )


def counted(key: str = "a") -> Event:
    return Event(type="Counted", payload={"Key": key})


@pytest.fixture
def store() -> StagedStore:
    return StagedStore()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def processor(store: StagedStore, counters: Counters) -> Processor:
    return Processor(store, domain, Settings(), counters)


def intruder(store: StagedStore, key: str = "a") -> Hook:
    async def intrude() -> None:
        await store.append([counted(key)])

    return intrude


async def others_come() -> None:
    """Let the loop turn, so that others come and wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_accepted_command_is_recorded_with_where_it_came_from(
    store: StagedStore, processor: Processor
) -> None:
    message = command("Count", Key="a")
    processed = await processor.process(message)
    assert processed.attempts == 1
    assert processed.receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert store.consistencies == [Consistency.EVENTUAL]
    (event,) = [event async for event in store.read(Filter.matching_any_event())]
    assert (event.type, event.payload) == ("Counted", {"Key": "a"})
    assert event.metadata == {
        "command_id": str(message.command_id),
        "command_type": "Count",
        "correlation_id": "visit",
        "causation_id": str(message.command_id),
    }
    assert processed.receipt.outcome.details == {
        "command_type": "Count",
        "correlation_id": "visit",
        "domain": "tally",
        "attempts": 1,
    }


async def test_after_a_conflict_the_command_is_decided_again_on_the_primary(
    store: StagedStore, processor: Processor, counters: Counters
) -> None:
    store.after_query = [intruder(store)]
    processed = await processor.process(command("Count", Key="a"))
    assert processed.attempts == 2
    assert processed.receipt.first == 2
    assert processed.receipt.outcome.details["attempts"] == 2
    assert store.consistencies == [Consistency.EVENTUAL, Consistency.STRONG]
    assert (counters.attempts, counters.conflicts) == (2, 1)


async def test_a_conflict_may_change_the_decision(store: StagedStore, processor: Processor) -> None:
    store.after_query = [intruder(store)]
    processed = await processor.process(command("Count", Key="a", Limit=1))
    assert processed.receipt.outcome.kind is OutcomeKind.REJECTED
    assert processed.receipt.outcome.reason == "limit reached"


async def test_an_event_outside_the_boundary_is_no_conflict(store: StagedStore, processor: Processor) -> None:
    store.after_query = [intruder(store, key="b")]
    assert (await processor.process(command("Count", Key="a"))).attempts == 1


@pytest.mark.parametrize("quietly", [True, False])
async def test_a_rejection_from_a_stale_replica_does_not_stand(
    store: StagedStore,
    processor: Processor,
    quietly: bool,  # noqa: FBT001  a parametrised case
) -> None:
    await store.append([counted()])
    store.freeze_replica()
    await store.append([Event(type="Forgotten", payload={"Key": "a"})])
    processed = await processor.process(command("Count", Key="a", Limit=1, Quietly=quietly))
    assert processed.attempts == 2
    assert processed.receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert processed.receipt.first == 3


async def test_an_unchanged_from_a_stale_replica_does_not_stand(
    store: StagedStore, processor: Processor, counters: Counters
) -> None:
    await store.append([counted()])
    store.freeze_replica()
    await store.append([Event(type="Forgotten", payload={"Key": "a"})])
    processed = await processor.process(command("CountOnce", Key="a"))
    assert processed.attempts == 2
    assert processed.receipt.outcome.kind is OutcomeKind.ACCEPTED
    assert (counters.conflicts, counters.stale_conflicts) == (1, 1)


async def test_an_unchanged_from_a_position_that_moved_is_decided_again(
    store: StagedStore, processor: Processor, counters: Counters
) -> None:
    await store.append([counted()])
    store.after_query = [intruder(store)]
    processed = await processor.process(command("CountOnce", Key="a"))
    assert processed.attempts == 2
    assert processed.receipt.outcome.kind is OutcomeKind.UNCHANGED
    assert processed.receipt.position.number == 2
    # The read was not from a replica, which therefore is not to blame.
    assert (counters.conflicts, counters.stale_conflicts) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "body", "outcome"),
    [
        ("Count", {"Limit": 0, "Quietly": True}, OutcomeKind.REJECTED),
        ("CountOnce", {}, OutcomeKind.UNCHANGED),
    ],
)
async def test_an_outcome_without_events_has_a_receipt(
    store: StagedStore, processor: Processor, kind: str, body: dict[str, Any], outcome: OutcomeKind
) -> None:
    await store.append([counted()])
    message = command(kind, Key="a", **body)
    processed = await processor.process(message)
    assert processed.receipt.outcome.kind is outcome
    assert await store.receipt(message.command_id) == processed.receipt


async def test_a_repeated_command_gets_its_first_answer_and_records_nothing(
    store: StagedStore, processor: Processor
) -> None:
    message = command("Count", Key="a", Limit=1)
    first = (await processor.process(message)).receipt
    again = (await processor.process(message)).receipt
    # Decided anew it would be rejected; the answer stays.
    assert again == first.as_duplicate()
    assert len([event async for event in store.read(Filter.matching_any_event())]) == 1


async def test_commands_that_wait_for_one_boundary_are_decided_on_top_of_each_other(
    store: StagedStore, processor: Processor, counters: Counters
) -> None:
    store.after_query = [others_come]
    messages = [command("Count", Key="a", Limit=3, Quietly=n % 2 == 0) for n in range(8)]
    twice = messages[4]
    answers = await asyncio.gather(*(processor.process(message) for message in [*messages, twice]))
    assert [answer.receipt.outcome.kind for answer in answers[:3]] == [OutcomeKind.ACCEPTED] * 3
    assert {answer.receipt.outcome.kind for answer in answers[3:]} == {OutcomeKind.REJECTED}
    assert answers[-1].receipt == answers[4].receipt.as_duplicate()
    # Nobody was decided twice: the first alone, and all that waited for it together.
    assert {answer.attempts for answer in answers} == {1}
    assert counters.conflicts == 0
    assert store.chains == [8]


async def test_a_group_whose_boundary_changed_meanwhile_is_decided_again(
    store: StagedStore, processor: Processor, counters: Counters
) -> None:
    # The first is alone; the others read together, and somebody else is faster than all of them.
    store.after_query = [others_come, others_come, intruder(store)]
    messages = [command("Count", Key="a", Limit=4) for _ in range(4)]
    answers = await asyncio.gather(*(processor.process(message) for message in messages))
    kinds = [answer.receipt.outcome.kind for answer in answers]
    assert kinds.count(OutcomeKind.ACCEPTED) == 3
    assert kinds.count(OutcomeKind.REJECTED) == 1
    assert counters.conflicts > 0
    assert len([event async for event in store.read(Filter.matching_any_event()) if event.type == "Counted"]) == 4


async def test_another_command_under_the_same_id_is_refused(processor: Processor) -> None:
    message = command("Count", Key="a")
    await processor.process(message)
    for other in (command("Count", message.command_id, Key="b"), command("CountOnce", message.command_id, Key="a")):
        with pytest.raises(IdempotencyKeyReused):
            await processor.process(other)


async def test_an_outcome_that_stayed_unknown_is_known_when_the_command_is_processed_again(
    store: StagedStore, processor: Processor
) -> None:
    store.unknown_outcomes = 1
    message = command("Count", Key="a")
    with pytest.raises(OutcomeUnknown):
        await processor.process(message)
    processed = await processor.process(message)
    assert processed.receipt.duplicate
    assert processed.receipt.first == 1
    assert len([event async for event in store.read(Filter.matching_any_event())]) == 1


async def test_conflicts_without_end_are_raised_after_the_attempts_allowed(
    store: StagedStore, counters: Counters
) -> None:
    store.after_query = [intruder(store) for _ in range(99)]
    processor = Processor(store, domain, Settings(worker_conflict_attempts=3), counters)
    with pytest.raises(ConcurrencyConflict) as raised:
        await processor.process(command("Count", Key="a"))
    assert raised.value.sequence_number == 3
    assert (counters.attempts, counters.conflicts) == (3, 3)


async def test_conflicts_are_not_tried_again_beyond_the_time_allowed(store: StagedStore, counters: Counters) -> None:
    store.after_query = [intruder(store) for _ in range(99)]
    processor = Processor(store, domain, Settings(worker_conflict_seconds=0), counters)
    with pytest.raises(ConcurrencyConflict):
        await processor.process(command("Count", Key="a"))
    assert counters.attempts == 1


async def test_concurrent_commands_of_many_processes_each_have_their_own_attempts(store: StagedStore) -> None:
    counters = Counters()
    settings = Settings(worker_conflict_attempts=100, worker_conflict_seconds=50)
    processors = [Processor(store, domain, settings, counters) for _ in range(20)]

    async def yielding() -> None:
        await asyncio.sleep(0)

    store.after_query = [yielding] * 10_000
    processed = await asyncio.gather(
        *(processor.process(command("Count", Key="a", Limit=99)) for processor in processors)
    )
    assert sorted(answer.receipt.first or 0 for answer in processed) == list(range(1, 21))
    assert counters.attempts == sum(answer.attempts for answer in processed)
    assert counters.conflicts > 0


async def test_concurrent_commands_of_one_process_take_turns_and_do_not_conflict(
    store: StagedStore, processor: Processor, counters: Counters
) -> None:
    async def yielding() -> None:
        await asyncio.sleep(0)

    store.after_query = [yielding] * 20
    processed = await asyncio.gather(*(processor.process(command("Count", Key="a", Limit=99)) for _ in range(20)))
    assert [answer.receipt.first for answer in processed] == list(range(1, 21))
    assert counters.conflicts == 0


async def test_cancellation_is_not_tried_again(store: StagedStore, counters: Counters) -> None:
    reached = asyncio.Event()

    async def block() -> None:
        reached.set()
        await asyncio.Event().wait()

    store.after_query = [intruder(store), block, block]
    task = asyncio.create_task(Processor(store, domain, Settings(), counters).process(command("Count", Key="a")))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counters.attempts == 2


async def test_a_bug_comes_out_as_it_is_and_is_tried_once(processor: Processor, counters: Counters) -> None:
    with pytest.raises(ZeroDivisionError, match="a exploded at 0"):
        await processor.process(command("Explode", Key="a"))
    assert counters.attempts == 1


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (command("Dance", Key="a"), "unknown_command"),
        (command("Count", Schlüssel="a"), "invalid_command"),
        (command("Count", Key="a", Limit="much"), "invalid_command"),
    ],
)
async def test_what_is_no_command_of_the_domain_is_named(
    processor: Processor, message: CommandMessage, code: str
) -> None:
    with pytest.raises(BadMessage) as raised:
        await processor.process(message)
    assert raised.value.code == code


async def test_a_value_that_no_filter_can_hold_is_the_commands_fault(processor: Processor) -> None:
    with pytest.raises(InvalidRequest):
        await processor.process(command("Count", Key="a\x00b"))
