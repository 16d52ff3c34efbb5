"""Large amounts: many changes or commands of one event, large events, and many projections that wait for readers."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import asyncpg
import pytest

from eventstore import Event, Position, Window
from eventstore.postgres import PostgresEventStore, Session
from handlers import Change, Command, DomainEvent, Projected, Projection, Reaction, Table
from tests.integration.reading.bell_tower import passed, queues, ring, sending
from tests.integration.reading.projecting import FOLLOW_SECONDS, book, booked, coordinating, reached, rows
from tests.support.amqp_client import AmqpClient
from tests.support.domains.bells import RUNG, Toll, bells
from tests.support.domains.ledger import EVENTS, ledger, others
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from worker.reading.builds import Declared
from worker.reading.follower import Follower, Progress
from worker.reading.followers import FollowerRow, Followers
from worker.reading.lease import Checkpoint

_EVENTS, _EACH = 8, 3000
_BELLS, _TOLLS = 3, 2000

places = Table("places", columns={"number": int, "place": int}, key=("number", "place"))


def _spread(seen: Projected[DomainEvent]) -> Iterable[Change]:
    return (places.insert(number=seen.number, place=place) for place in range(_EACH))


def _many(_: Projected[DomainEvent]) -> Iterable[Command]:
    return (Toll(bell=f"bell {place}") for place in range(_TOLLS))


async def test_many_changes_of_each_event_are_written_some_events_at_a_time(database: Database) -> None:
    spread = Projection(name="spread", events=EVENTS, tables=(places,), changes=_spread)
    async with PostgresEventStore.connect(database.url) as store, coordinating(database.url, ledger(spread)):
        last = await book(store, *["a"] * _EVENTS)
        await reached(database.url, last, projection="ledger.spread")
        ((follower,),) = await rows(database.admin_url, "SELECT follower_id FROM reading.followers")
        written = await rows(
            database.admin_url,
            f"SELECT count(*), count(DISTINCT number) FROM projection_{follower}.places GROUP BY xmin::text",  # noqa: S608  a number
        )
    assert sum(count for count, _ in written) == _EVENTS * _EACH
    # No more than the fewest events that come to so many changes; and those of one event are written together.
    assert {count for count, _ in written} <= {events * _EACH for events in range(1, 5)}
    assert sum(events for _, events in written) == _EVENTS


async def test_many_commands_of_each_event_are_sent_some_events_at_a_time(database: Database, vhost: str) -> None:
    many = Reaction(name="many", events=RUNG, commands=_many, begins="start")
    async with PostgresEventStore.connect(database.url) as store, AmqpClient.open(vhost) as client:
        await queues(client)
        last = await ring(store, *["a"] * _BELLS)
        async with sending(database.url, vhost, bells(reactions=(many,))):
            await passed(database.admin_url, last, name="many")
        assert await client.ready("bells.commands") == _BELLS * _TOLLS
        ((trail,),) = await rows(database.admin_url, "SELECT trail FROM reading.followers")
    assert trail[: 2 * _BELLS : 2] == [3, 2, 1]


class _Sizes:
    """Takes windows, and keeps how many events each had."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def take(self, window: Window, checkpoint: Checkpoint) -> None:
        self.sizes.append(len(window.events))
        checkpoint.moved(window.position)


async def _windows(store: PostgresEventStore, row: FollowerRow, until: Position) -> list[int]:
    """Follow the whole log, and return how many events came at a time."""
    sink, checkpoint = _Sizes(), Checkpoint(row, row.fence)
    following = asyncio.create_task(Follower(store, EVENTS, sink, checkpoint, Progress()).run())

    async def is_there() -> bool:
        return following.done() or checkpoint.position == until

    await eventually(is_there, what="the log's end")
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return sink.sizes


async def test_as_many_events_are_read_at_a_time_as_are_small_together(database: Database) -> None:
    declared = Declared(domain=ledger(others), projection=others)
    session = Session(database.url, purpose="test")
    await declared.register(session)
    async with session.transaction() as transaction:
        (row,) = await Followers(transaction).of(declared.name)
    await session.close()
    async with PostgresEventStore.connect(database.url, follow_seconds=FOLLOW_SECONDS) as store:
        for _ in range(10):
            await store.append([Event(type="Booked", payload={"Account": "a" * 50_000})] * 30)
        for _ in range(5):
            await store.append([booked("a")] * 1000)
        sizes = await _windows(store, row, await store.position())
    assert sum(sizes) == 5300
    first, second, third, *_ = sizes
    # Few, as long as it is not known how large they are; then about 4 MB, or twice that; then more and more.
    assert first <= 125
    assert max(second, third) <= 160
    assert min(second, third) <= 80
    assert max(sizes) > 1000


async def test_what_readers_hold_keeps_no_other_projection_from_keeping_its_lease(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [Table(f"numbers_{place}", columns={"number": int}) for place in range(5)]
    projections = [
        Projection(name=f"numbers-{place}", events=EVENTS, tables=(table,), changes=_numbers(table))
        for place, table in enumerate(tables)
    ]
    domain = ledger(*projections)
    done: list[str] = []
    renew, promoted = Followers.renew, Declared.promote

    async def renewed(followers: Followers, held: Mapping[int, int], seconds: float) -> frozenset[int]:
        done.append("renew")
        return await renew(followers, held, seconds)

    async def tried(declared: Declared, session: Session, follower_id: int, fence: int) -> bool:
        done.append(declared.projection.name)
        return await promoted(declared, session, follower_id, fence)

    monkeypatch.setattr(Followers, "renew", renewed)
    monkeypatch.setattr(Declared, "promote", tried)
    reader = await asyncpg.connect(database.url)
    session = Session(database.url, purpose="test")
    async with PostgresEventStore.connect(database.url) as store, coordinating(database.url, domain):
        last = await book(store, "a")
        for projection in projections:
            await reached(database.url, last, projection=f"ledger.{projection.name}")
        async with reader.transaction():
            for table in tables:
                await reader.execute(f"SELECT FROM read_ledger.{table.name}")
            for projection in projections:
                assert await Declared(domain=domain, projection=projection).rebuild(session)

            async def have_tried() -> bool:
                return all(done.count(projection.name) > 1 for projection in projections)

            await eventually(have_tried, what="each to try to take its place")
    between = "".join("r" if each == "renew" else "p" for each in done).split("r")
    # Each waits for as long as two or three may before leases run out.
    assert max(map(len, between)) <= 2
    await reader.close()
    await session.close()


def _numbers(table: Table) -> Callable[[Projected[DomainEvent]], Change]:
    return lambda seen: table.insert(number=seen.number)
