"""Reads from replicas that follow, lag, stop and come back."""

import asyncio
from functools import partial

import pytest
from msgspec.structs import replace

from eventstore import (
    START,
    ConcurrencyConflict,
    Consistency,
    Filter,
    HistoryDiverged,
    P,
    Position,
    PositionNotReached,
)
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.reads.replicas import Fallback
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import ANY, counted, keys, numbers, of
from tests.integration.eventstore.staging import connected
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import proxy

EVENTUAL = Consistency.EVENTUAL


def sent(store: PostgresEventStore) -> tuple[int, int, int]:
    """How many reads were answered by a replica, by the primary, and by the primary in a replica's place."""
    counts = store.read_counts
    return counts.replicas.total(), counts.primary, counts.fallbacks.total()


def answered(store: PostgresEventStore, replicated: Replicated) -> list[int]:
    """How many reads each replica answered."""
    return [store.read_counts.replicas[f"127.0.0.1:{replica.port}"] for replica in replicated.replicas]


async def replica_answers(store: PostgresEventStore) -> bool:
    return (await store.query(of("a"), consistency=EVENTUAL)).replica


async def replica_is_up(store: PostgresEventStore) -> bool:
    return isinstance(store._reader._routing._replicas.choose(0), Pool)


async def replica_has_reached(store: PostgresEventStore, position: Position) -> bool:
    return (await store.query(of("a"), consistency=EVENTUAL, min_position=position)).replica


async def test_eventual_reads_go_to_replicas_in_turn_and_strong_ones_to_the_primary(replicated: Replicated) -> None:
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls) as store:
        position = (await store.append([counted("a")])).position
        await replicated.follow()
        for turns in range(1, 5):
            stream = await store.query(of("a"), consistency=EVENTUAL)
            assert (stream.replica, numbers(stream), stream.position) == (True, [1], position)
            assert answered(store, replicated) == [turns // 2, (turns + 1) // 2]
        strong = await store.query(of("a"))
        assert (strong.replica, strong.position) == (False, position)
        assert sent(store) == (4, 1, 0)


async def test_without_replicas_every_read_is_the_primarys(replicated: Replicated) -> None:
    async with PostgresEventStore.connect(replicated.url) as store:
        await store.append([counted("a")])
        assert numbers(await store.query(of("a"), consistency=EVENTUAL)) == [1]
        assert sent(store) == (0, 1, 0)


async def test_a_decision_from_a_replica_that_lags_conflicts_and_never_commits(replicated: Replicated) -> None:
    replica = replicated.replicas[0]
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        await store.append([counted("a")])
        await replicated.follow()
        async with replicated.paused(replica):
            await store.append([counted("a")])
            stale = await store.query(of("a"), consistency=EVENTUAL)
            assert (stale.replica, numbers(stale)) == (True, [1])
            # Neither to record something nor to find that nothing is to be done: what was not seen might matter.
            for events in ([counted("a")], []):
                with pytest.raises(ConcurrencyConflict) as conflict:
                    await store.append(events, boundary=of("a"), after=stale.position)
                assert conflict.value.sequence_number == 2
            # What happened meanwhile outside the boundary does not matter.
            assert (await store.append([counted("b")], boundary=of("b"), after=stale.position)).first == 3
        assert keys(await store.query(ANY)) == ["a", "a", "b"]
        await replicated.follow()
        fresh = await store.query(of("a"), consistency=EVENTUAL)
        assert (await store.append([counted("a")], boundary=of("a"), after=fresh.position)).first == 4


async def test_a_replica_that_has_not_reached_the_position_is_passed_over(replicated: Replicated) -> None:
    replica = replicated.replicas[0]
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        first = (await store.append([counted("a")])).position
        await replicated.follow()
        async with replicated.paused(replica):
            second = (await store.append([counted("a")])).position
            # It is known to be there at its first event, and not to be asked for more.
            await eventually(partial(replica_has_reached, store, first), what="the replica to be seen there")
            before = sent(store)
            passed_over = await store.query(of("a"), consistency=EVENTUAL, min_position=second)
            assert (passed_over.replica, numbers(passed_over)) == (False, [1, 2])
            reached = await store.query(of("a"), consistency=EVENTUAL, min_position=first)
            assert (reached.replica, numbers(reached)) == (True, [1])
            assert sent(store) == (before[0] + 1, 0, before[2] + 1)
            assert store.read_counts.fallbacks[Fallback.BEHIND] == sent(store)[2]
        # One that was behind is asked again when the watch has seen it there.
        await eventually(partial(replica_has_reached, store, second), what="the replica to answer again")


async def test_a_replica_that_is_behind_a_filters_bound_is_passed_over(replicated: Replicated) -> None:
    """Whoever asks for what lies above n has seen n: two edits of one page from the same n must not both pass."""
    replica = replicated.replicas[0]
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        first = (await store.append([counted("a")])).position
        await replicated.follow()
        async with replicated.paused(replica):
            await eventually(partial(replica_has_reached, store, first), what="the replica to be seen there")
            seen = (await store.append([counted("a")])).position
            await store.append([counted("a")], boundary=of("a").narrowed_above(seen.number), after=seen)
            above = Filter.matching().any_predicate_of(P("Key", "a")).sequence_number_higher_than(seen.number)
            for streams in (
                [await store.query(above, consistency=EVENTUAL)],
                await store.query_many([of("a"), above], consistency=EVENTUAL),
                await store.query_many([of("a"), of("a")], after=[START, seen], consistency=EVENTUAL),
                [await store.latest(above, limit=1, consistency=EVENTUAL)],
            ):
                assert not any(stream.replica for stream in streams)
                assert numbers(streams[-1]) == [3]
                with pytest.raises(ConcurrencyConflict):
                    await store.append([counted("a")], boundary=above, after=seen)
            read = [event.sequence_number async for event in store.read(above, consistency=EVENTUAL)]
            assert read == [3]
            # What the replica has seen, it may answer; and a bound that no log has reached is not waited for.
            below = Filter.matching().any_predicate_of(P("Key", "a")).sequence_number_higher_than(first.number)
            assert (await store.query(below, consistency=EVENTUAL)).replica
            assert numbers(await store.query(of("a").narrowed_above(900), consistency=EVENTUAL)) == []


async def test_each_position_of_a_read_is_looked_for_in_the_replicas_history(replicated: Replicated) -> None:
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls) as store:
        first, second = (await store.append([counted("a")])).position, (await store.append([counted("a")])).position
        await replicated.follow()
        await eventually(partial(replica_has_reached, store, second), what="the replicas to be seen there")
        streams = await store.query_many([of("a"), ANY], after=[first, second], consistency=EVENTUAL)
        assert [(numbers(stream), stream.replica) for stream in streams] == [([2], True), ([], True)]
        elsewhere = replace(first, token=first.token ^ 1)
        with pytest.raises(HistoryDiverged):
            await store.query_many([of("a"), ANY], after=[elsewhere, second], consistency=EVENTUAL)


async def test_a_position_that_no_server_reaches_is_waited_for_with_a_bound(replicated: Replicated) -> None:
    async with PostgresEventStore.connect(
        replicated.url, replica_urls=replicated.replica_urls, reach_seconds=0.1
    ) as store:
        position = (await store.append([counted("a")])).position
        beyond = replace(position, number=2)
        for consistency in Consistency:
            with pytest.raises(PositionNotReached):
                await store.query(of("a"), consistency=consistency, min_position=beyond)
        await store.append([counted("a")])
        assert numbers(await store.query(of("a"))) == [1, 2]


async def test_reads_of_a_replica_whose_disk_is_broken_fall_back(replicated: Replicated) -> None:
    replica = replicated.replicas[0]
    async with PostgresEventStore.connect(replicated.url) as store:
        # The last page of several stays whole: by it the replica tells how far it is.
        await store.append([counted("a"), *[counted("b")] * 500])
        # To have been looked at is noted in a page, too; that must not mend it later.
        await store.query(ANY)
    async with connected(replicated.admin_url) as admin:
        path = await admin.fetchval("SELECT pg_relation_filepath('eventstore.events_payload')")
        await admin.execute("CHECKPOINT")
    await replicated.follow()
    async with connected(replica.url(replica.admin, replicated.database)) as admin:
        await admin.execute("CHECKPOINT")
    await asyncio.to_thread(replica.stop)
    with (replica.data / path).open("r+b") as file:
        file.write(b"\xff" * 8192)
    await asyncio.to_thread(replica.start)
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        await eventually(partial(replica_is_up, store), what="the replica to be up")
        stream = await store.query(of("a"), consistency=EVENTUAL)
        assert (stream.replica, numbers(stream)) == (False, [1])
        assert store.read_counts.fallbacks[Fallback.FAILED] == 1


async def test_reads_of_a_replica_that_is_down_fall_back_and_return_when_it_is_back(replicated: Replicated) -> None:
    replica = replicated.replicas[0]
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        await store.append([counted("a")])
        await replicated.follow()
        assert await replica_answers(store)
        await asyncio.to_thread(replica.kill)
        for _ in range(3):
            stream = await store.query(of("a"), consistency=EVENTUAL)
            assert (stream.replica, numbers(stream)) == (False, [1])
        assert sent(store) == (1, 0, 3)
        await asyncio.to_thread(replica.start)
        await eventually(partial(replica_answers, store), what="the replica's reads to come back")
        assert sent(store)[0] == 2


async def test_of_two_replicas_the_one_that_is_up_answers(replicated: Replicated) -> None:
    down, _ = replicated.replicas
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls) as store:
        await store.append([counted("a")])
        await replicated.follow()
        await asyncio.to_thread(down.kill)
        answers = [(await store.query(of("a"), consistency=EVENTUAL)).replica for _ in range(6)]
        # At most the first read that meets the one that is down falls back, unless the watch met it first.
        assert answers.count(False) <= 1
        assert answered(store, replicated)[0] == 0
        assert sent(store) == (answers.count(True), 0, answers.count(False))


async def test_an_address_that_replicas_share_outlives_the_promotion_of_one(replicated: Replicated) -> None:
    # As behind a Kubernetes service: the connections stay with the one that accepts writes, new ones end elsewhere.
    async with (
        proxy(replicated.url) as service,
        PostgresEventStore.connect(replicated.url, replica_urls=[service.url]) as store,
    ):
        await store.append([counted("a")])
        await replicated.follow()
        assert not await replica_answers(store)
        assert store.read_counts.fallbacks == {Fallback.NONE_UP: 1}
        service.lead_to(replicated.replica_urls[0])
        await eventually(partial(replica_answers, store), what="a replica to answer")


async def test_a_store_opens_while_a_replica_is_down(replicated: Replicated) -> None:
    replica = replicated.replicas[0]
    await asyncio.to_thread(replica.stop)
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        await store.append([counted("a")])
        assert not await replica_answers(store)
        await asyncio.to_thread(replica.start)
        await replicated.follow()
        await eventually(partial(replica_answers, store), what="the replica to answer")


async def test_a_replica_without_the_store_yet_is_passed_over(replicated: Replicated) -> None:
    # As one is that has not replayed the migration.
    elsewhere = replicated.replicas[0].url(replicated.replicas[0].worker, "postgres")
    async with PostgresEventStore.connect(replicated.url, replica_urls=[elsewhere]) as store:
        await store.append([counted("a")])
        assert numbers(await store.query(of("a"), consistency=EVENTUAL)) == [1]
        assert sent(store) == (0, 0, 1)
        assert store.read_counts.fallbacks == {Fallback.NONE_UP: 1}


async def test_long_reads_lose_nothing_to_a_replica_that_lags(replicated: Replicated) -> None:
    lagging, _ = replicated.replicas
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls) as store:
        await store.append([counted("a") for _ in range(7)])
        await replicated.follow()
        async with replicated.paused(lagging):
            await store.append([counted("a") for _ in range(8)])
            await follows(store, 15)
            for _ in range(2):  # beginning with the one and with the other
                read = [event.sequence_number async for event in store.read(ANY, batch_size=2, consistency=EVENTUAL)]
                assert read == list(range(1, len(read) + 1))
                assert len(read) in {7, 15}
            assert [event.sequence_number async for event in store.read(ANY, batch_size=2)] == list(range(1, 16))


async def test_a_long_read_goes_on_where_its_replica_ended(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.postgres.reads.history.WIDEST", 0)  # by the indexes, however short the log is
    replica = replicated.replicas[0]
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        await store.append([counted("ab"[number % 2]) for number in range(20)])
        await replicated.follow()
        reading = store.read(of("a"), batch_size=2, consistency=EVENTUAL)
        read = [await anext(reading)]
        assert sent(store)[0] > 0
        await asyncio.to_thread(replica.kill)
        read += [event async for event in reading]
        assert [event.sequence_number for event in read] == list(range(1, 20, 2))
        assert store.read_counts.fallbacks.total() > 0


async def follows(store: PostgresEventStore, head: int) -> None:
    """Wait until at least one replica shows the head."""

    async def shows() -> bool:
        return (await store.query(ANY, consistency=EVENTUAL)).position.number == head

    await eventually(shows, what="the other replica to follow")


async def test_a_subscription_misses_nothing_while_replicas_lag_in_turn(replicated: Replicated) -> None:
    seen: list[int] = []

    async def follow(store: PostgresEventStore) -> None:
        async for event in store.subscribe(of("a"), batch_size=3):
            seen.append(event.sequence_number)  # noqa: PERF401  it never ends

    async def has(count: int) -> bool:
        return len(seen) >= count

    async with PostgresEventStore.connect(
        replicated.url, replica_urls=replicated.replica_urls, follow_seconds=0.01
    ) as store:
        following = asyncio.create_task(follow(store))
        try:
            await store.append([counted("a") for _ in range(5)])
            await eventually(partial(has, 5), what="the first events")
            for replica in replicated.replicas:
                async with replicated.paused(replica):
                    for _ in range(5):
                        await store.append([counted("a"), counted("b")])
                    expected = len(await matching(store))
                    await eventually(partial(has, expected), what="the events that one replica has")
            await asyncio.to_thread(replicated.replicas[0].restart)
            await store.append([counted("a")])
            await eventually(partial(has, 16), what="the event after the restart")
        finally:
            following.cancel()
        assert seen == await matching(store)


async def matching(store: PostgresEventStore) -> list[int]:
    return numbers(await store.query(of("a")))


async def test_a_replica_shows_a_prefix_of_the_log_at_any_moment(replicated: Replicated) -> None:
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls) as store:

        async def write(key: str) -> None:
            for _ in range(25):
                await store.append([counted(key), counted(key)], boundary=of(f"not {key}"), after=START)

        writing = asyncio.gather(*(write(f"k{place}") for place in range(4)))
        while not writing.done():
            stream = await store.query(ANY, consistency=EVENTUAL)
            assert numbers(stream) == list(range(1, stream.position.number + 1))
        await writing
        assert (await store.query(ANY)).position.number == 200
