"""Sealing and erasure in a scheduler: no value is sealed with a deleted key, and no erased value is visible."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from eventstore import SUBJECT_FORGOTTEN, Consistency, Held, MemoryEventStore, RecordedEvent, StateKey, Subject
from handlers.erasure.sealing import SEALED
from handlers.erasure.subject_keys import SubjectKeys
from handlers.kept_states import KeptStates
from handlers.part_reader import PartReader
from tests.support.domains.guests import FORGOTTEN, SETTINGS, domain, everybody, guest, master
from tests.support.facts import log
from tests.unit.worker.rounds.gated_store import GatedStore, all_wait, sent
from tests.unit.worker.staged import StagedStore, command
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer

ADA, BOB = Subject("Guest", "ada"), Subject("Guest", "bob")


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
async def scheduler(store: GatedStore) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(store, domain, SETTINGS)
    yield scheduler
    await scheduler.close()


def register(name: str, who: str = "ada") -> CommandMessage:
    return command("Register", Guest=who, Name=name)


async def readable(store: MemoryEventStore) -> list[bool]:
    """For each sealed event, in order, whether its key exists."""
    keys = SubjectKeys(store, master())
    events = [event for event in await log(store) if SEALED in event.metadata]
    return [bool(await keys.for_opening([event])) for event in events]


async def seen(store: MemoryEventStore, who: str = "ada") -> str:
    """The guest's name, as another reader of all events sees it now."""
    reader = PartReader(store, domain, KeptStates(), master=master())
    part = guest.at(who)
    found = await reader.read([part], consistency=Consistency.STRONG)
    await reader.close()
    name: str = found[part].state.name
    return name


def greeted(events: list[RecordedEvent]) -> list[Any]:
    return [event.payload["Words"] for event in events if event.type == "GuestGreeted"]


async def test_a_value_is_recorded_sealed_and_read_back_unchanged(store: GatedStore, scheduler: Scheduler) -> None:
    await scheduler.process(register("Ada ☕"))
    (event,) = await log(store)
    assert event.payload == {"Guest": "ada", "Name": FORGOTTEN}
    assert event.metadata[SEALED].keys() == {"Name"}
    assert "Ada" not in str(event)
    assert await seen(store) == "Ada ☕"


async def test_the_recording_scheduler_and_a_reading_one_decide_alike(store: GatedStore, scheduler: Scheduler) -> None:
    await scheduler.process(register("Ada"))
    other = Scheduler(store, domain, SETTINGS)
    for each in (scheduler, other):
        answer = await each.process(register("Ada"))
        assert answer.receipt.outcome.reason == "registered"
    await other.close()


async def test_a_subject_has_one_key(store: GatedStore, scheduler: Scheduler) -> None:
    for name in ("Ada", "Ada L.", "Ada Lovelace"):
        await scheduler.process(register(name))
    await scheduler.process(register("Bob", "bob"))
    keys = [event.metadata[SEALED]["Name"]["key"] for event in await log(store)]
    assert keys[0] == keys[1] == keys[2] != keys[3]


async def test_a_known_key_is_not_read_again(store: GatedStore, scheduler: Scheduler) -> None:
    await scheduler.process(register("Ada"))
    reads = len(store.consistencies)
    await scheduler.process(register("Ada L."))
    assert len(store.consistencies) == reads


async def test_an_erased_value_reads_as_its_replacement_and_others_are_unchanged(
    store: GatedStore, scheduler: Scheduler
) -> None:
    await scheduler.process(register("Ada"))
    await scheduler.process(register("Bob", "bob"))
    before = await log(store)
    done = await store.forget(ADA)
    assert done.number == 3
    assert (await log(store))[:2] == before
    assert await seen(store) == FORGOTTEN
    assert await seen(store, "bob") == "Bob"


@pytest.mark.parametrize("who", ["who recorded it", "who read it"])
async def test_no_decision_uses_a_cached_value_that_was_erased(
    store: GatedStore, scheduler: Scheduler, who: str
) -> None:
    await scheduler.process(register("Ada"))
    if who == "who read it":
        await scheduler.close()
        scheduler = Scheduler(store, domain, SETTINGS)
    await scheduler.process(command("Greet", Guest="ada"))
    await scheduler.process(command("Count", AtLeast=1))
    await store.forget(ADA)
    answer = await scheduler.process(command("Greet", Guest="ada"))
    await scheduler.process(command("Count", AtLeast=1))
    events = await log(store)
    assert greeted(events) == ["Hello Ada", f"Hello {FORGOTTEN}"]
    # It was decided without a read, and conflicted with the erasure event.
    assert answer.attempts == 2
    assert [event.payload["Names"] for event in events if event.type == "GuestsCounted"] == [["Ada"], [FORGOTTEN]]
    if who == "who read it":
        await scheduler.close()


async def test_an_erased_subject_may_return_with_a_new_key(store: GatedStore, scheduler: Scheduler) -> None:
    await scheduler.process(register("Ada"))
    await store.forget(ADA)
    await scheduler.process(register("Ada again"))
    assert await readable(store) == [False, True]
    assert await seen(store) == "Ada again"
    await scheduler.process(command("Greet", Guest="ada"))
    assert greeted(await log(store)) == ["Hello Ada again"]


async def test_a_value_sealed_during_the_erasure_of_its_subject_is_refused_and_decided_again(
    store: GatedStore, scheduler: Scheduler
) -> None:
    await scheduler.process(register("Ada"))
    store.may_record.clear()
    waiting = sent(scheduler, register("Ada L."))
    await all_wait()
    assert store.chains == [1, 1]  # the greeting is about to be recorded
    await store.forget(ADA)
    store.may_record.set()
    answer: Answer = await waiting
    assert answer.attempts == 2
    assert [event.type for event in await log(store)] == ["GuestRegistered", SUBJECT_FORGOTTEN, "GuestRegistered"]
    assert await readable(store) == [False, True]


async def test_the_first_value_of_a_subject_is_not_lost(store: GatedStore, scheduler: Scheduler) -> None:
    """Its key was created before its first event, and is deleted by the erasure."""
    store.may_record.clear()
    waiting = sent(scheduler, register("Ada"))
    await all_wait()
    assert store.chains == [1]
    assert (await store.forget(ADA)).number == 1
    store.may_record.set()
    assert (await waiting).attempts == 2
    assert await readable(store) == [True]


async def test_a_subject_erased_before_its_key_is_read_gets_a_new_key(store: GatedStore, scheduler: Scheduler) -> None:
    await scheduler.process(register("Ada"))
    other = Scheduler(store, domain, SETTINGS)

    async def nothing() -> None:
        pass

    async def forget() -> None:
        await store.forget(ADA)

    # After the read of the states, and after the read of the key.
    store.after_query = [nothing, forget]
    answer = await other.process(register("Ada L."))
    assert not store.after_query
    assert answer.attempts == 2
    assert await readable(store) == [False, True]
    await other.close()


async def test_values_decided_under_the_lock_are_sealed(store: GatedStore) -> None:
    settings = Settings(worker_master_keys=SETTINGS.worker_master_keys, worker_conflict_attempts=1)
    scheduler = Scheduler(store, domain, settings)
    await scheduler.process(register("Ada"))
    store.may_record.clear()
    waiting = sent(scheduler, register("Ada L."))
    await all_wait()
    await store.forget(ADA)
    store.may_record.set()
    assert (await waiting).attempts == 2
    assert await readable(store) == [False, True]
    assert "Ada" not in str(await log(store))
    await scheduler.close()


async def test_under_the_lock_earlier_erasures_are_seen(store: GatedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(worker_master_keys=SETTINGS.worker_master_keys, worker_conflict_attempts=1)
    scheduler = Scheduler(store, domain, settings)
    taken = store.exclusive

    @asynccontextmanager
    async def forgets_first(**limits: float) -> AsyncIterator[Held]:
        await store.forget(ADA)
        async with taken(**limits) as held:
            yield held

    monkeypatch.setattr(store, "exclusive", forgets_first)
    await scheduler.process(register("Ada"))
    store.may_record.clear()
    waiting = sent(scheduler, register("Ada L."))
    await all_wait()
    await store.forget(ADA)
    store.may_record.set()
    assert (await waiting).attempts == 2
    assert [event.type for event in await log(store)].count(SUBJECT_FORGOTTEN) == 2
    assert await readable(store) == [False, True]
    await scheduler.close()


async def test_keys_are_never_read_from_a_replica(store: GatedStore, scheduler: Scheduler) -> None:
    """A lagging replica still has a deleted key, and lacks the new one."""
    await scheduler.process(register("Ada"))
    store.freeze_replica()
    await store.forget(ADA)
    other = Scheduler(store, domain, SETTINGS)
    answer = await other.process(register("Ada again"))
    assert answer.attempts > 1
    assert await readable(store) == [False, True]
    await other.close()


async def test_a_round_seals_each_subjects_values_with_its_own_key(store: GatedStore, scheduler: Scheduler) -> None:
    await asyncio.gather(*(scheduler.process(register(f"{who.title()}", who)) for who in ("ada", "bob", "cole")))
    assert await readable(store) == [True, True, True]
    await store.forget(BOB)
    assert [await seen(store, who) for who in ("ada", "bob", "cole")] == ["Ada", FORGOTTEN, "Cole"]


async def test_an_erasure_deletes_stored_states_and_none_from_before_is_stored(
    store: GatedStore, scheduler: Scheduler
) -> None:
    await scheduler.process(register("Ada"))
    await scheduler.close()
    ((key, state),) = store._states.items()
    assert b"Ada" in state.state
    assert state.sensitive
    done = await store.forget(ADA)
    assert done.states == 1
    assert not store._states
    # A late write by a slow worker.
    await store.store_state(state)
    assert not store._states
    other = Scheduler(store, domain, SETTINGS)
    await other.process(command("Greet", Guest="ada"))
    await other.close()
    assert [b"Ada" in each.state for each in store._states.values()] == [False]
    assert isinstance(key, StateKey)


async def test_a_stored_state_from_before_an_erasure_is_not_used(store: GatedStore, scheduler: Scheduler) -> None:
    """A state that was not deleted, as after a restore, or stored by an older release."""
    await scheduler.process(register("Ada"))
    await scheduler.close()
    states = dict(store._states)
    await store.forget(ADA)
    store._states.update(states)
    assert await seen(store) == FORGOTTEN


@pytest.mark.parametrize("part", [guest.at("ada"), everybody.at()], ids=repr)
async def test_a_long_history_is_folded_again_after_an_erasure(
    store: GatedStore, scheduler: Scheduler, part: Any
) -> None:
    for number in range(8):
        await scheduler.process(register(f"Ada {number}"))
    reader = PartReader(store, domain, KeptStates(), master=master())
    before = (await reader.read([part], consistency=Consistency.STRONG))[part]
    assert "Ada 7" in str(before.state)
    await store.forget(ADA)
    events = [*store._log.events]
    store._log.events += [
        replace(events[-1], sequence_number=number, payload={"SubjectField": "Guest", "Subject": "ada"})
        for number in range(len(events) + 1, len(events) + 1100)
    ]
    after = (await reader.read([part], consistency=Consistency.STRONG))[part]
    assert "Ada" not in str(after.state)
    assert FORGOTTEN in str(after.state)
    await reader.close()


async def test_a_command_whose_value_has_no_subject_fails(scheduler: Scheduler) -> None:
    with pytest.raises(Exception, match="Name belongs to the person that Guest names, and '' names no person"):
        await scheduler.process(command("Register", Guest="", Name="Ada"))


async def test_a_domain_with_sensitive_fields_needs_a_master_key() -> None:
    with pytest.raises(Exception, match="no master key is given"):
        Scheduler(StagedStore(), domain, Settings())
