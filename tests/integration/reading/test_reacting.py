"""Reactions on real servers: each command takes effect once, whatever ends the process that sends it."""

import asyncio
import json
import random

import asyncpg
import pytest

from eventstore import Filter, Position
from eventstore.postgres import PostgresEventStore, Session
from tests.integration.reading.bell_tower import (
    BELLS,
    QUEUE,
    passed,
    queues,
    reacting,
    ring,
    rung,
    sending,
    stopped,
    taken,
)
from tests.integration.reading.projecting import Projecting, keeps_up, lose, moves_on, rows, told, waits_for_lock
from tests.support.amqp_client import AmqpClient
from tests.support.domains.bells import bells, late, tolling
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import serving_domain
from tests.support.tcp_proxy import CONFIRMATION, proxy
from worker.errors import FollowerError
from worker.leased_service import LeasedService
from worker.reading.administration import move, resume, skip
from worker.reading.outputs import Output, position_before

TOLLING = Output(domain=bells(reactions=(tolling,)), output=tolling)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def _tolled(store: PostgresEventStore) -> list[str]:
    stream = await store.query(Filter.matching().any_event_type_of("Tolled"))
    return sorted(event.payload["Bell"] for event in stream.events)


async def test_what_a_reaction_sends_is_decided_by_a_worker(
    database: Database, vhost: str, store: PostgresEventStore
) -> None:
    domain = bells(reactions=(tolling,))
    async with serving_domain(domain, store, vhost), sending(database.url, vhost, domain):
        await passed(database.admin_url, await ring(store, "a", "mute", "twin", "b"))

        async def are_tolled() -> bool:
            return await _tolled(store) == ["a", "b", "left", "right"]

        await eventually(are_tolled, what="the bells to be tolled")


async def test_a_command_continues_the_trace_and_the_conversation_of_its_event(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    await queues(client)
    at = await store.append(
        [rung("a", traceparent=TRACE, correlation_id="talk", command_id="why"), rung("b")],
    )
    async with sending(database.url, vhost, bells(reactions=(tolling,))):
        first, second = [await client.take(QUEUE) for _ in range(2)]
    assert (first.type, first.correlation_id, first.headers["causation-id"]) == ("Toll", "talk", "why")
    assert str(first.headers["traceparent"])[3:35] == TRACE[3:35]
    event = Position(number=1, token=(await store.query(Filter.matching_any_event())).events[0].token)
    assert first.message_id == str(tolling.command_id("bells", event, 0))
    assert second.headers["causation-id"] == str(at.position)


async def test_a_process_that_is_killed_behind_the_confirmation_sends_the_same_commands_again(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    await queues(client)
    async with reacting(database.url, vhost) as first:
        await passed(database.admin_url, await ring(store, "a"))
        connection = await asyncpg.connect(database.admin_url)
        async with connection.transaction():
            # What is confirmed cannot be put behind the checkpoint now.
            await connection.execute("SELECT FROM reading.followers FOR NO KEY UPDATE")
            last = await ring(store, "b", "twin")
            await waits_for_lock(database.admin_url)
            await first.kill()
        await connection.close()
    once = await taken(client)
    assert len(once) == len(set(once)) == 4
    async with reacting(database.url, vhost):
        await passed(database.admin_url, last)
    assert await taken(client) == once[1:]


async def test_a_process_that_is_killed_before_the_confirmation_leaves_nothing_out(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    await queues(client)
    async with proxy(vhost) as way, reacting(database.url, way.url) as first:
        await passed(database.admin_url, await ring(store, "a"))
        way.hold()
        last = await ring(store, "b", "c")
        before = await rows(database.admin_url, "SELECT moved_at FROM reading.followers")
        # The lease is kept meanwhile: it is alive, and waits.
        await _lease_is_kept(database.admin_url)
        assert await rows(database.admin_url, "SELECT moved_at FROM reading.followers") == before
        await first.kill()
    async with reacting(database.url, vhost):
        await passed(database.admin_url, last)
    found = await taken(client)
    assert {body for _, body in found} == {'{"Bell":"a"}', '{"Bell":"b"}', '{"Bell":"c"}'}
    assert len(dict(found)) == 3


async def _lease_is_kept(admin_url: str) -> None:
    asked = "SELECT leased_until FROM reading.followers"
    before = await rows(admin_url, asked)

    async def is_kept() -> bool:
        return await rows(admin_url, asked) > before

    await eventually(is_kept, what="the lease to be kept")


async def test_a_confirmation_that_is_lost_has_the_same_command_sent_again(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    await queues(client)
    async with proxy(vhost) as way, sending(database.url, way.url, bells(reactions=(tolling,))):
        await passed(database.admin_url, await ring(store, "a"))
        way.lose_answers(1, only=CONFIRMATION)
        await passed(database.admin_url, await ring(store, "b"))
        assert way.cuts == 1
    found = await taken(client)
    assert [body for _, body in found] == ['{"Bell":"a"}', '{"Bell":"b"}', '{"Bell":"b"}']
    assert len({identity for identity, _ in found}) == 2


async def test_processes_that_are_killed_again_and_again_have_each_bell_tolled_once(
    database: Database, vhost: str, store: PostgresEventStore
) -> None:
    chance, enough = random.Random(11), asyncio.Event()  # noqa: S311  a test's

    async def ringing() -> tuple[Position, int]:
        count, position = 0, await ring(store, "first")
        while not enough.is_set():
            count += 3
            position = await ring(store, *(f"b{count - each}" for each in range(3)))
            if count % 60 == 0:
                await keeps_up(database.admin_url, "tolling", position.number, until=enough)
        return position, count + 1

    async with serving_domain(bells(), store, vhost, worker_concurrency=32):
        under_way = asyncio.create_task(ringing())
        try:
            for _ in range(4):
                async with reacting(database.url, vhost) as process:
                    await moves_on(database.admin_url, "tolling", by=chance.randrange(1, 80))
                    await process.kill()
        finally:
            enough.set()
        last, count = await under_way
        async with reacting(database.url, vhost):
            await passed(database.admin_url, last)

            async def are_tolled() -> bool:
                return len(await _tolled(store)) >= count

            await eventually(are_tolled, what="the bells to be tolled")
        tolled = await _tolled(store)
    assert len(tolled) == len(set(tolled)) == count


async def test_one_that_is_new_leaves_alone_what_has_happened_before(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    await queues(client)
    await ring(store, "before")
    async with sending(database.url, vhost, bells(reactions=(late,))):
        await passed(database.admin_url, await ring(store, "after"), name="late")
        assert [body for _, body in await taken(client)] == ['{"Bell":"after"}']


async def test_an_event_at_which_it_raises_stops_it_behind_all_before_until_it_is_left_out(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    await queues(client)
    last = await ring(store, "a", "cracked", "b")
    session = Session(database.url, purpose="test")
    async with sending(database.url, vhost, bells(reactions=(tolling,))) as coordinator:
        assert await stopped(coordinator) == "ValueError: the bell is cracked"
        assert [body for _, body in await taken(client)] == ['{"Bell":"a"}']
        service = LeasedService([coordinator], doing="reacting")
        assert not service.health().ready
        assert "bells.tolling is stopped by event 2: ValueError" in service.health().reason
        ((figures),) = coordinator.figures()
        assert (figures.attributes, figures.is_stopped) == ({"reaction": "bells.tolling"}, True)
        assert await skip(session, TOLLING.name, 2, by="ada", reason="it is cracked") == [2]
        await passed(database.admin_url, last)
        assert [body for _, body in await taken(client)] == ['{"Bell":"b"}']
    await session.close()


async def test_a_command_that_nobody_takes_stops_it_until_somebody_does(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    await queues(client)
    last = await ring(store, "a", "abroad", "b")
    session = Session(database.url, purpose="test")
    async with sending(database.url, vhost, bells(reactions=(tolling,))) as coordinator:
        assert "no queue takes messages for commands:tower" in await stopped(coordinator)
        ((number, failed),) = await rows(database.admin_url, "SELECT number, failed_number FROM reading.followers")
        assert (number, failed) == (1, 2)
        await queues(client, "tower")
        await resume(session, TOLLING.name)
        await passed(database.admin_url, last)
        assert [body for _, body in await taken(client, "tower.commands")] == ['{"Bell":"abroad"}']
    await session.close()


async def test_a_rewritten_log_stops_it_and_a_person_says_where_it_goes_on(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    await queues(client)
    session = Session(database.url, purpose="test")
    async with sending(database.url, vhost, bells(reactions=(tolling,))) as coordinator:
        await passed(database.admin_url, await ring(store, "kept"))
        await passed(database.admin_url, await ring(store, "lost", "lost"))
        kept, *_ = await taken(client)
        await lose(database.admin_url, above=1)
        await ring(store, "new", "newer")
        told = "the log was rewritten from event 2 on, and what was sent for the replaced events stays sent"
        assert await stopped(coordinator) == told
        assert f"bells.tolling is stopped: {told}" in LeasedService([coordinator], doing="projecting").health().reason
        with pytest.raises(FollowerError, match=r"worker reactions resume bells\.tolling --from 2"):
            await resume(session, TOLLING.name)
        with pytest.raises(FollowerError, match=r"no event stops bells\.tolling"):
            await skip(session, TOLLING.name, None, by="ada", reason="none")
        assert await taken(client) == []
    # Nor does another process, or this one started again, begin by itself.
    async with sending(database.url, vhost, bells(reactions=(tolling,))) as coordinator:
        assert await stopped(coordinator) == told
        position, head = await position_before(store, 1)
        await move(session, TOLLING.name, position, head=head, by="ada")
        await passed(database.admin_url, await ring(store, "last"))
        found = await taken(client)
    await session.close()
    assert found[0] == kept
    assert [body for _, body in found[1:]] == ['{"Bell":"new"}', '{"Bell":"newer"}', '{"Bell":"last"}']
    noted = "SELECT moved_by, from_number, to_number, diverged_from FROM reading.moves"
    assert await rows(database.admin_url, noted) == [("ada", 3, 0, 2)]


async def test_a_checkpoint_that_was_lost_with_the_log_stops_the_process_that_has_come_further(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    await queues(client)
    async with sending(database.url, vhost, bells(reactions=(tolling,))) as coordinator:
        await passed(database.admin_url, await ring(store, "kept"))
        ((number, token),) = await rows(database.admin_url, "SELECT number, token FROM reading.followers")
        await passed(database.admin_url, await ring(store, "sent", "sent"))
        # As on a standby that has come as far as the first event.
        back = "UPDATE reading.followers SET number = $1, token = $2, trail = ARRAY[$1::bigint, $2::bigint]"
        await rows(database.admin_url, back, number, token)
        await ring(store, "new")
        assert "the log was rewritten from event 2 on" in await stopped(coordinator)


async def test_a_person_sees_what_stops_it_and_has_it_go_on_elsewhere(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    await queues(client)
    last = await ring(store, "a", "cracked", "b")
    surroundings = {"url": database.url, "AMQP_URL": vhost, "WORKER_DOMAINS": BELLS}
    async with Projecting.running(command="follow", doing="following", **surroundings) as process:
        await process.logged("stopped: event 2 (Rung): ValueError: the bell is cracked")
        await passed(database.admin_url, last, name="aloud")
        status, output, errors = await told("reactions", "list", **surroundings)
        assert (status, errors) == (1, "")
        assert "bells.tolling" in output
        assert "stopped by event 2" in output
        status, output, errors = await told("relays", "list", "--json", **surroundings)
        assert (status, errors) == (0, "")
        ((relay),) = json.loads(output)
        assert (relay["relay"], relay["state"]) == ("bells.aloud", "running")
        status, output, errors = await told("reactions", "status", "tolling", **surroundings)
        assert (status, errors) == (1, "")
        assert "worker reactions resume bells.tolling" in output
        assert "bells.py" in output
        status, output, errors = await told(
            *("reactions", "resume", "tolling", "--from", "3", "--by", "ada"), **surroundings
        )
        assert (status, output, errors) == (0, "bells.tolling continues with event 3.\n", "")
        await passed(database.admin_url, last)
    assert [body for _, body in await taken(client)] == ['{"Bell":"a"}', '{"Bell":"b"}']
    noted = "SELECT moved_by, from_number, to_number FROM reading.moves"
    assert await rows(database.admin_url, noted) == [("ada", 1, 2)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("react", "toll"), "there is no reaction 'toll'; known are bells.tolling."),
        (("relays", "resume", "aloud", "--from", "now"), "--from takes the number of an event, or `end`, not 'now'."),
        (("reactions", "pause", "tolling"), "bells.tolling was never run: start `worker react`."),
    ],
)
async def test_a_mistake_is_one_sentence(
    database: Database, vhost: str, arguments: tuple[str, ...], sentence: str
) -> None:
    status, output, errors = await told(*arguments, url=database.url, AMQP_URL=vhost, WORKER_DOMAINS=BELLS)
    assert (status, output, errors) == (2, "", f"worker: {sentence}\n")
