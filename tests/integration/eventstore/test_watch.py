"""The watch of the replicas: what takes one out of the reads, and what brings it back."""

import asyncio
from functools import partial

import pytest

from eventstore import ConcurrencyConflict, Consistency, HistoryDiverged
from eventstore.postgres import PostgresEventStore, migrate
from eventstore.postgres.reads import replicas
from eventstore.postgres.reads.replicas import Fallback
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import counted, keys, numbers, of
from tests.integration.eventstore.staging import lent
from tests.support.fixtures.failover import PrimaryAndStandby
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import proxy

EVENTUAL = Consistency.EVENTUAL


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watch look once, when a store is opened, and then not again."""
    monkeypatch.setattr(replicas, "_WATCH_SECONDS", 1000.0)


async def replica_answers(store: PostgresEventStore, *, expected: bool = True) -> bool:
    return (await store.query(of("a"), consistency=EVENTUAL)).replica is expected


async def test_a_replica_that_lags_too_far_is_taken_out_until_it_has_caught_up(
    replicated: Replicated, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "eventstore")
    async with PostgresEventStore.connect(
        replicated.url, replica_urls=replicated.replica_urls[:1], most_lag=5
    ) as store:
        await store.append([counted("a")])
        await replicated.follow()
        async with replicated.paused(replicated.replicas[0]):
            await store.append([counted("a") for _ in range(5)])
            await eventually(partial(_is_known, store, 6), what="the watch to see the primary's head")
            assert await replica_answers(store)
            assert _told(caplog) == []
            await store.append([counted("a")])
            await eventually(partial(replica_answers, store, expected=False), what="the replica to be taken out")
            assert len((await store.query(of("a"), consistency=EVENTUAL)).events) == 7
            assert set(store.read_counts.fallbacks) == {Fallback.NONE_UP}
        await eventually(partial(replica_answers, store), what="the replica to be taken back")
        assert len((await store.query(of("a"), consistency=EVENTUAL)).events) == 7
    # Both changes are told, once each.
    name = f"replica 127.0.0.1:{replicated.replicas[0].port}"
    assert _told(caplog) == [
        f"{name} answers no reads, the primary does: it lags by 6 events",
        f"{name} answers reads again",
    ]


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the store has logged; others log here, too, as asyncio does of what another test has left."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("eventstore.")]


async def _is_known(store: PostgresEventStore, head: int) -> bool:
    return store._pools.primary.head.number == head


async def test_the_least_lagged_replica_answers(replicated: Replicated) -> None:
    lagging = replicated.replicas[0]
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls) as store:
        await store.append([counted("a")])
        await replicated.follow()
        async with replicated.paused(lagging):
            await store.append([counted("b") for _ in range(101)])
            await eventually(partial(_one_is_at, store, 102), what="the watch to see the other one there")
            before = store.read_counts.replicas.total()
            for _ in range(6):
                assert (await store.query(of("a"), consistency=EVENTUAL)).position.number == 102
            assert store.read_counts.replicas.total() == before + 6
        await eventually(partial(_all_are_at, store, 102), what="the watch to see both there")
        # About equally far, they take turns.
        before = store.read_counts.replicas[f"127.0.0.1:{lagging.port}"]
        for _ in range(6):
            assert await replica_answers(store)
        assert store.read_counts.replicas[f"127.0.0.1:{lagging.port}"] == before + 3


async def _one_is_at(store: PostgresEventStore, head: int) -> bool:
    return any(pool.head.number == head for pool in store._pools.replicas)


async def _all_are_at(store: PostgresEventStore, head: int) -> bool:
    return all(pool.head.number == head for pool in store._pools.replicas)


@pytest.mark.usefixtures("unwatched")
async def test_no_read_of_a_users_tries_a_replica_that_failed(replicated: Replicated) -> None:
    replica = replicated.replicas[0]
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        await store.append([counted("a")])
        assert await replica_answers(store)
        await asyncio.to_thread(replica.stop)
        assert await replica_answers(store, expected=False)
        await asyncio.to_thread(replica.start)
        for _ in range(9):
            assert await replica_answers(store, expected=False)
        assert store.read_counts.fallbacks == {Fallback.FAILED: 1, Fallback.NONE_UP: 9}


@pytest.mark.usefixtures("unwatched")
async def test_reads_that_fail_together_are_one_failure(replicated: Replicated) -> None:
    replica = replicated.replicas[0]
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        await store.append([counted("a")])
        assert await replica_answers(store)
        (known,) = store._reader._routing._replicas._replicas.values()
        await asyncio.to_thread(replica.stop)
        await asyncio.gather(*(store.query(of(f"k{n}"), consistency=EVENTUAL) for n in range(50)))
        assert store.read_counts.fallbacks == {Fallback.FAILED: 50}
        # As 50 failures in a row it would rest for half a minute.
        assert known.rests.waits == 1


async def test_a_replica_that_does_not_answer_is_taken_out_until_it_does(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "_LOOK_SECONDS", 0.1)
    async with (
        proxy(replicated.replica_urls[0]) as way,
        PostgresEventStore.connect(replicated.url, replica_urls=[way.url], pool_size=1) as store,
    ):
        await store.append([counted("a")])
        await eventually(partial(replica_answers, store), what="the replica to answer")
        way.hold()
        await eventually(partial(_none_is_up, store), what="the replica to be taken out")
        assert await replica_answers(store, expected=False)
        way.go_on()
        await eventually(partial(replica_answers, store), what="the replica to be taken back")


async def _none_is_up(store: PostgresEventStore) -> bool:
    return isinstance(store._reader._routing._replicas.choose(0), Fallback)


async def test_the_watch_survives_what_it_does_not_know(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        await store.append([counted("a")])
        with monkeypatch.context() as patch:
            patch.setattr(replicas, "head_of", lambda _: 1 / 0)
            await eventually(partial(_none_is_up, store), what="the replica to be taken out")
        await eventually(partial(replica_answers, store), what="the replica to be taken back")


async def test_the_watch_begins_and_ends_with_the_store_and_keeps_no_connection(replicated: Replicated) -> None:
    before = asyncio.all_tasks()
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls, pool_size=1) as store:
        assert len(asyncio.all_tasks() - before) == 3
        for pool in (store._pools.primary, *store._pools.replicas):
            async with asyncio.timeout(10), lent(pool) as connection:
                assert await connection.fetchval("SELECT 1") == 1
    assert asyncio.all_tasks() == before


async def test_a_store_without_replicas_watches_nothing(replicated: Replicated) -> None:
    before = asyncio.all_tasks()
    async with PostgresEventStore.connect(replicated.url):
        assert asyncio.all_tasks() == before


async def test_a_replica_that_was_promoted_by_mistake_is_taken_out(
    primary_and_standby: PrimaryAndStandby, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = primary_and_standby
    await migrate(primary.url(primary.admin))
    one, other = primary.url(primary.worker), standby.url(standby.worker)
    async with PostgresEventStore.connect(one, replica_urls=[other]) as watching:
        await watching.append([counted("a")])
        await eventually(partial(_replica_has, watching, 1), what="the standby to have the event")
        monkeypatch.setattr(replicas, "_WATCH_SECONDS", 1000.0)
        async with (
            PostgresEventStore.connect(one, replica_urls=[other]) as store,
            PostgresEventStore.connect(one) as certain,
        ):
            await asyncio.to_thread(standby.promote)
            # No look of the watch has seen it yet. It has the primary's history so far, and then one of its own.
            shared = await store.query(of("a"), consistency=EVENTUAL)
            assert (shared.replica, keys(shared)) == (True, ["a"])
            # Where the watch goes on, it is taken out before it can have a history of its own.
            await eventually(partial(replica_answers, watching, expected=False), what="the watch to see it")
            async with PostgresEventStore.connect(other) as astray:
                await astray.append([counted("a", own=True)])
            wrong = await store.query(of("a"), consistency=EVENTUAL)
            assert (wrong.replica, numbers(wrong)) == (True, [1, 2])
            for events in ([counted("a")], []):
                with pytest.raises(HistoryDiverged):
                    await store.append(events, boundary=of("a"), after=wrong.position)
            right = (await certain.append([counted("a")])).position
            # Also when the primary has an event of that number.
            with pytest.raises(HistoryDiverged):
                await store.append([counted("a")], boundary=of("a"), after=wrong.position)
            with pytest.raises(ConcurrencyConflict):
                await store.append([counted("a")], boundary=of("a"), after=shared.position)
            # A reader that asks for the primary's history is not given the other one.
            stream = await store.query(of("a"), consistency=EVENTUAL, min_position=right)
            assert (stream.replica, numbers(stream)) == (False, [1, 2])
        assert numbers(await watching.query(of("a"), consistency=EVENTUAL)) == [1, 2]
    async with PostgresEventStore.connect(one, replica_urls=[other]) as opened:
        assert await replica_answers(opened, expected=False)


async def _replica_has(store: PostgresEventStore, head: int) -> bool:
    stream = await store.query(of("a"), consistency=EVENTUAL)
    return stream.replica and stream.position.number == head
