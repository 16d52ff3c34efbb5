"""Relays on real servers: the events of a log, in their order, to whoever listens."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from aio_pika.abc import AbstractIncomingMessage
from aiormq.exceptions import ChannelNotFoundEntity

from eventstore.postgres import PostgresEventStore
from handlers.library import domain as library
from handlers.library.events import BookCopyLentToReader
from tests.integration.reading.bell_tower import BELLS, passed, queues, ring, sending
from tests.integration.reading.projecting import ROOT, lose, rows
from tests.support.amqp_client import AmqpClient
from tests.support.domains.bells import Tolled, aloud, bells, tolling, whole
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import CONFIRMATION, proxy
from worker.amqp.connection import Link
from worker.amqp.relay_exchange import declare_exchange
from worker.reading.declared import RELAY
from worker.reading.service import RunRequest, opened
from worker.settings import Settings

DOMAIN = bells(relays=(aloud,))


@asynccontextmanager
async def _listening(client: AmqpClient, vhost: str, key: str = "#", **arguments: Any) -> AsyncIterator[str]:
    """A queue that is bound to the events, which gives its name."""
    link = Link(vhost, name="test")
    await declare_exchange(link, "bells")
    await link.close()
    queue = await client.channel.declare_queue("heard", arguments=dict(arguments))
    await queue.bind("bells.events", key)
    yield queue.name
    await queue.delete(if_unused=False, if_empty=False)


async def _heard(client: AmqpClient, queue: str, count: int) -> list[AbstractIncomingMessage]:
    return [await client.take(queue) for _ in range(count)]


def _ids(messages: list[AbstractIncomingMessage]) -> list[int]:
    return [int(str(message.headers["cloudEvents_id"])) for message in messages]


async def test_all_events_of_the_domain_come_in_their_order_and_others_do_not(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    tolled = DOMAIN.to_record(Tolled(bell="x"), {})
    async with _listening(client, vhost) as queue, sending(database.url, vhost, DOMAIN, source="urn:tower"):
        for start in range(0, 1200, 400):
            await ring(store, *(f"b{start + n}" for n in range(400)))
        last = (await store.append([tolled])).position
        await passed(database.admin_url, last, name="aloud")
        messages = await _heard(client, queue, 1201)
    assert _ids(messages) == list(range(1, 1202))
    assert messages[-1].routing_key == "Tolled"
    assert messages[0].headers["cloudEvents_subject"] == "b0"
    assert messages[0].headers["cloudEvents_source"] == "urn:tower"
    assert (messages[0].content_type, messages[0].delivery_mode) == ("application/json", 2)


async def test_nobody_has_to_listen_and_the_exchange_is_made(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    with pytest.raises(ChannelNotFoundEntity):
        await (await client.channel.get_underlay_channel()).exchange_declare("bells.events", passive=True)
    async with sending(database.url, vhost, DOMAIN):
        await passed(database.admin_url, await ring(store, "a", "b"), name="aloud")
    async with AmqpClient.open(vhost) as other, _listening(other, vhost, "Rung") as queue:
        relays = bells(relays=(aloud, whole))
        async with sending(database.url, vhost, relays):
            await passed(database.admin_url, await ring(store, "c"), name="whole")
            await passed(database.admin_url, await ring(store, "d"), name="aloud")
            await passed(database.admin_url, await ring(store, "e"), name="whole")
            await other.holds(queue, 8)
        messages = await _heard(other, queue, 8)
    structured = [json.loads(m.body) for m in messages if m.content_type == "application/cloudevents+json"]
    assert [each["id"] for each in structured] == ["1", "2", "3", "4", "5"]
    assert structured[0]["data"] == {"Bell": "a"}


async def test_a_queue_can_be_bound_before_the_first_event(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    settings = Settings(database_url=database.url, amqp_url=vhost, worker_domains=BELLS)
    stop = asyncio.Event()
    async with opened(settings, RunRequest(names=("aloud",), kinds=(RELAY,), command="worker relay")) as service:
        queue = await client.channel.declare_queue("heard")
        await queue.bind("bells.events", "#")
        serving = asyncio.create_task(service.serve(stop))
        await ring(store, "a")
        assert _ids(await _heard(client, queue.name, 1)) == [1]
        stop.set()
        await serving


async def test_what_may_not_have_arrived_comes_again_and_nothing_is_left_out(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    async with (
        _listening(client, vhost) as queue,
        proxy(vhost) as way,
        sending(database.url, way.url, DOMAIN),
    ):
        await passed(database.admin_url, await ring(store, "a"), name="aloud")
        for _ in range(3):
            way.lose_answers(1, only=CONFIRMATION)
            await passed(database.admin_url, await ring(store, "b", "c", "d"), name="aloud")
        found = _ids(await _heard(client, queue, await client.ready(queue)))
    firsts = list(dict.fromkeys(found))
    assert firsts == list(range(1, 11))
    assert len(found) > len(firsts)


async def test_a_queue_that_is_full_has_it_wait(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    arguments: dict[str, Any] = {"x-max-length": 2, "x-overflow": "reject-publish"}
    async with (
        _listening(client, vhost, **arguments) as queue,
        sending(database.url, vhost, DOMAIN) as coordinator,
    ):
        last = await ring(store, *"abcdef")

        async def waits() -> bool:
            return any("a queue is full" in (running.trouble or "") for running in coordinator.running.values())

        await eventually(waits, what="the relay to wait")
        heard: set[int] = set()
        # It is not cancelled: a call that is given up closes the channel.
        while len(heard) < 6:
            heard.update(_ids(await _heard(client, queue, 1)))
        await passed(database.admin_url, last, name="aloud")
    assert heard == {1, 2, 3, 4, 5, 6}


async def _has(heard: Sized, count: int) -> bool:
    return len(heard) >= count


async def test_a_log_that_was_rewritten_stops_it(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient
) -> None:
    async with _listening(client, vhost) as queue, sending(database.url, vhost, DOMAIN) as coordinator:
        await passed(database.admin_url, await ring(store, "kept"), name="aloud")
        await passed(database.admin_url, await ring(store, "lost"), name="aloud")
        await lose(database.admin_url, above=1)
        await ring(store, "new", "newer")

        async def is_stopped() -> bool:
            return any(running.failure is not None for running in coordinator.running.values())

        await eventually(is_stopped, what="the relay to be stopped")
        asked = "SELECT diverged_from FROM reading.followers WHERE name = 'aloud'"
        assert await rows(database.admin_url, asked) == [(2,)]
        assert await client.ready(queue) == 2


async def test_a_consumer_that_knows_nothing_of_ours_hears_what_the_documentation_promises(
    database: Database, vhost: str, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMQP_URL", vhost)
    page = (ROOT / "docs" / "messages.md").read_text()
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1], names)  # noqa: S102  the documentation's own code
    heard: list[str] = []
    lent = [library.to_record(BookCopyLentToReader(book_id=f"b{n}", reader_id="ada"), {}) for n in range(3)]
    async with sending(database.url, vhost, library):
        # Nobody listens yet: it is gone.
        await passed(database.admin_url, (await store.append(lent[:1])).position, name="announcements")
        consuming = asyncio.create_task(names["consume"](heard))
        try:

            async def listens() -> bool:
                # The broker closes the channel that asks for a queue which is not there.
                with suppress(ChannelNotFoundEntity):
                    async with AmqpClient.open(vhost) as client:
                        return await client.consumers("lendings") == 1
                return False

            await eventually(listens, what="the consumer to listen")
            await store.append(lent[1:])
            await eventually(lambda: _has(heard, 2), what="the lendings to be heard")
        finally:
            consuming.cancel()
            await asyncio.gather(consuming, return_exceptions=True)
    assert heard == ["2 b1", "3 b2"]


async def test_who_sends_needs_to_write_to_its_exchanges_and_no_other_right(
    database: Database, vhost: str, store: PostgresEventStore, client: AmqpClient, management: Management
) -> None:
    domain = bells(reactions=(tolling,), relays=(aloud,))
    await queues(client)
    parts = urlsplit(vhost)
    user = f"{parts.path[1:]}-sends"
    management.request("PUT", f"/api/users/{user}", {"password": "of-this-test", "tags": ""})
    try:
        limited = parts._replace(netloc=f"{user}:of-this-test@{parts.hostname}:{parts.port}").geturl()
        rights = {"configure": "^$", "write": "^commands$", "read": "^$"}
        management.request("PUT", f"/api/permissions{parts.path}/{user}", rights)
        async with sending(database.url, limited, domain) as coordinator:
            last = await ring(store, "a")
            await passed(database.admin_url, last)
            told = "the exchange bells.events cannot be made"

            async def rests() -> bool:
                return any(told in (running.trouble or "") for running in coordinator.running.values())

            await eventually(rests, what="the relay to say what it lacks")
        async with _listening(client, vhost) as queue:
            rights["write"] = r"^(commands|bells\.events)$"
            management.request("PUT", f"/api/permissions{parts.path}/{user}", rights)
            async with sending(database.url, limited, domain):
                await passed(database.admin_url, last, name="aloud")
                assert _ids(await _heard(client, queue, 1)) == [1]
    finally:
        management.request("DELETE", f"/api/users/{user}")
