"""A standby that is promoted in the middle of a round: each command is answered truly, and decided once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from eventstore import EventStream, Held
from eventstore.backoff import Backoff
from eventstore.postgres import PostgresEventStore, migrate
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.integration.eventstore.test_synchronous import waiting as waiting_for_the_standby
from tests.support.domains.tally import Count, domain
from tests.support.fixtures.failover import PrimaryAndStandby
from tests.support.fixtures.unresponsive import frozen
from tests.support.fixtures.waiting import eventually
from tests.support.serving import serving
from worker.load.oracle import judge
from worker.message import Reply
from worker.publisher import Publisher
from worker.rounds.attempts import Attempts
from worker.service import Service

# Many commands for each key: each is decided on top of others, and some of them are rejected.
KEYS, LIMIT, WAVE = ("a", "b"), 10, 16


class Stage:
    """A worker on a primary that fails, and the commands that it is sent.

    Attributes:
        commands: All commands that were sent.
        replies: The last reply to each.
    """

    def __init__(
        self, pair: PrimaryAndStandby, store: PostgresEventStore, service: Service, publisher: Publisher
    ) -> None:
        self.pair = pair
        self.store = store
        self.service = service
        self.commands: dict[UUID, Count] = {}
        self.replies: dict[UUID, Reply] = {}
        self._publisher = publisher
        self._asked: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, pair: PrimaryAndStandby, vhost: str, *, synchronous: bool) -> AsyncIterator["Stage"]:
        """Serve the tally domain; at the end, see that every answer was right."""
        primary, standby = pair
        await migrate(primary.url(primary.admin))
        if synchronous:
            primary.query(f"ALTER SYSTEM SET synchronous_standby_names = '\"{standby.name}\"'")
            primary.query("SELECT pg_reload_conf()")

            async def is_synchronous() -> bool:
                return primary.query("SELECT sync_state FROM pg_stat_replication") == "sync"

            await eventually(is_synchronous, what="the standby to be synchronous")
        one = primary.url(primary.worker)
        both = one.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{standby.port}/")
        async with (
            PostgresEventStore.connect(both) as store,
            serving(store, vhost, worker_concurrency=2 * WAVE) as service,
            Publisher.connect(vhost) as publisher,
        ):
            service._stores[0].breaker._backoff = Backoff(first=0.1, longest=0.2)
            stage = cls(pair, store, service, publisher)
            yield stage
            await stage.all_answered()
            report = await judge(store, domain, stage.commands, {key: [each] for key, each in stage.replies.items()})
            assert not report.violations
            assert len([each async for each in store.all_receipts()]) == len(stage.commands)
            assert service.counters.dead_letters == {}

    def send(self) -> list[UUID]:
        """Send a wave of commands, and return their ids."""
        sent = {uuid4(): Count(key=KEYS[n % len(KEYS)], limit=LIMIT, quietly=n % 3 == 0) for n in range(WAVE)}
        self.commands |= sent
        self.repeat(list(sent))
        return list(sent)

    def repeat(self, ids: list[UUID]) -> None:
        """Send commands again."""
        for each in ids:
            task = asyncio.create_task(self._ask(each))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)

    async def all_answered(self) -> None:
        """Wait for the answer to everything that was sent."""
        await asyncio.gather(*self._asked)

    async def decided(self, attempts: int) -> None:
        """Wait until the worker has decided so often."""

        async def have_been() -> bool:
            return self.service.counters.attempts >= attempts

        await eventually(have_been, what=f"{attempts} decisions")

    async def fail_over(self) -> None:
        """Kill the primary, and promote the standby."""
        await asyncio.to_thread(self.pair.primary.kill)
        await asyncio.to_thread(self.pair.standby.promote)

    async def _ask(self, command_id: UUID) -> None:
        body = self.commands[command_id]
        self.replies[command_id] = await self._publisher.request(
            "tally", "Count", body, command_id=command_id, timeout=240
        )


@asynccontextmanager
async def holding_appends(admin_url: str) -> AsyncIterator[None]:
    """Keep appends waiting on a primary, until it ends."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        async with head_locked(admin_url):
            yield


@pytest.mark.parametrize("synchronous", [True, False], ids=["nothing-lost", "last-events-lost"])
async def test_between_the_read_of_a_round_and_its_append(
    primary_and_standby: PrimaryAndStandby, vhost: str, monkeypatch: pytest.MonkeyPatch, *, synchronous: bool
) -> None:
    async with Stage.open(primary_and_standby, vhost, synchronous=synchronous) as stage:
        stage.send()
        await stage.all_answered()
        lost = await _recorded_only_here(stage) if not synchronous else []
        query, read = stage.store.query_many, asyncio.Event()

        async def read_and_fail_over(*arguments: Any, **options: Any) -> list[EventStream]:
            found = await query(*arguments, **options)
            if not read.is_set():
                read.set()
                if not synchronous:
                    await _lose_last_events(stage)
                await stage.fail_over()
            return found

        monkeypatch.setattr(stage.store, "query_many", read_and_fail_over)
        for scheduler in stage.service._stores[0].schedulers:
            # Otherwise its last append would be recent enough.
            scheduler.doubt_states()
        stage.send()
        await stage.all_answered()
        assert read.is_set()
        await _repeat(stage, lost)


@pytest.mark.parametrize("synchronous", [True, False], ids=["nothing-lost", "last-events-lost"])
async def test_while_an_append_is_in_flight_and_the_next_round_is_decided_on_top_of_it(
    primary_and_standby: PrimaryAndStandby, vhost: str, *, synchronous: bool
) -> None:
    async with Stage.open(primary_and_standby, vhost, synchronous=synchronous) as stage:
        stage.send()
        await stage.all_answered()
        lost = await _recorded_only_here(stage) if not synchronous else []
        before = stage.service.counters.attempts
        primary = stage.pair.primary
        async with connected(primary.url(primary.admin)) as admin, holding_appends(primary.url(primary.admin)):
            stage.send()
            await waiting(admin, 1)
            stage.send()
            await stage.decided(before + 2 * WAVE)
            if not synchronous:
                await _lose_last_events(stage)
            await stage.fail_over()
        await stage.all_answered()
        await _repeat(stage, lost)


async def test_between_the_commit_of_a_round_and_its_answer(primary_and_standby: PrimaryAndStandby, vhost: str) -> None:
    """The standby has the commit, which the primary has not confirmed when it ends."""
    async with Stage.open(primary_and_standby, vhost, synchronous=True) as stage:
        stage.send()
        await stage.all_answered()
        before, primary, standby = stage.service.counters.attempts, stage.pair.primary, stage.pair.standby
        async with connected(primary.url(primary.admin)) as admin:
            with frozen(standby):
                unanswered = stage.send()
                await waiting_for_the_standby(admin)
                stage.send()
                await stage.decided(before + 2 * WAVE)
                written = await admin.fetchval("SELECT pg_current_wal_flush_lsn()")
                await eventually(partial(_is_sent, admin, written), what="the commit to be on its way to the standby")
                killed_at = await admin.fetchval("SELECT clock_timestamp()")
                await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.promote)
        await stage.all_answered()
        recorded_before = {
            each.key
            async for each in stage.store.all_receipts()
            if each.recorded_at is not None and each.recorded_at < killed_at
        }
        # By the primary that is gone.
        assert not recorded_before.isdisjoint(unanswered)
        assert not [each for each in unanswered if stage.replies[each].duplicate]


async def test_under_the_lock_before_its_append(
    primary_and_standby: PrimaryAndStandby, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Stage.open(primary_and_standby, vhost, synchronous=True) as stage:
        stage.send()
        await stage.all_answered()
        exclusive, held = stage.store.exclusive, asyncio.Event()

        @asynccontextmanager
        async def hold_and_fail_over(**options: Any) -> AsyncIterator[Held]:
            async with exclusive(**options) as hold:
                if not held.is_set():
                    held.set()
                    await stage.fail_over()
                yield hold

        monkeypatch.setattr(stage.store, "exclusive", hold_and_fail_over)
        monkeypatch.setattr(Attempts, "_takes_lock", lambda *_: True)
        stage.send()
        await stage.all_answered()
        assert held.is_set()
        assert stage.service.counters.holds > 1


async def test_under_the_lock_between_its_commit_and_its_answer(
    primary_and_standby: PrimaryAndStandby, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Stage.open(primary_and_standby, vhost, synchronous=True) as stage:
        stage.send()
        await stage.all_answered()
        primary, standby = stage.pair.primary, stage.pair.standby
        monkeypatch.setattr(Attempts, "_takes_lock", lambda *_: True)
        async with connected(primary.url(primary.admin)) as admin:
            with frozen(standby):
                unanswered = stage.send()
                await eventually(partial(_commits, admin), what="the commit under the lock to wait for the standby")
                written = await admin.fetchval("SELECT pg_current_wal_flush_lsn()")
                await eventually(partial(_is_sent, admin, written), what="the commit to be on its way to the standby")
                assert not set(unanswered) & stage.replies.keys()
                await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.promote)
        await stage.all_answered()
        assert not [each for each in unanswered if stage.replies[each].duplicate]


async def _commits(admin: Any) -> bool:
    return bool(await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))


async def _is_sent(admin: Any, written: str) -> bool:
    return bool(await admin.fetchval("SELECT bool_and(sent_lsn >= $1) FROM pg_stat_replication", written))


async def _lose_last_events(stage: Stage) -> None:
    await asyncio.to_thread(stage.pair.primary.kill)
    await asyncio.to_thread(stage.pair.standby.start)


async def _repeat(stage: Stage, lost: list[UUID]) -> None:
    """Send again what the promoted standby lacks: no worker can prevent that."""
    assert not {each.key async for each in stage.store.all_receipts()} & set(lost)
    stage.repeat(lost)


async def _recorded_only_here(stage: Stage) -> list[UUID]:
    """Have commands answered whose events the standby will lack, and return their ids."""
    await asyncio.to_thread(stage.pair.standby.stop)
    lost = stage.send()
    await stage.all_answered()
    return lost
