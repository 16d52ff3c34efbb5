"""What a publisher sends, and what it says when it cannot."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiormq.abc import FieldTable
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import TraceFlags

from deploy.local.ports import free_port
from tests.support.amqp_client import AmqpClient
from tests.support.domains.tally import Count
from tests.support.tcp_proxy import proxy
from worker import publisher as publisher_module
from worker.errors import BrokerMisconfigured, BrokerUnavailable, MessageRefused, Unroutable
from worker.message import Reply
from worker.publisher import Publisher
from worker.topology import Topology


@pytest.fixture
async def queue(client: AmqpClient) -> str:
    """Where commands for the domain end up, without a worker that takes them."""
    await client.channel.declare_exchange("commands", "direct", durable=True)
    queue = await client.channel.declare_queue("taken", durable=True, arguments={"x-queue-type": "classic"})
    await queue.bind("commands", "tally")
    return queue.name


async def test_a_command_is_stored_when_publish_returns(publisher: Publisher, client: AmqpClient, queue: str) -> None:
    ids = await asyncio.gather(*(publisher.publish("tally", "Count", {"Key": str(n)}) for n in range(50)))
    await client.holds(queue, 50)
    taken = [await client.take(queue) for _ in ids]
    assert sorted(message.message_id or "" for message in taken) == sorted(map(str, ids))


async def test_what_the_caller_says_is_on_the_wire(publisher: Publisher, client: AmqpClient, queue: str) -> None:
    command_id = uuid4()
    before = datetime.now(UTC)
    await publisher.publish(
        "tally",
        "Count",
        {"Key": "ä", "Limit": 2},
        command_id=command_id,
        correlation_id="visit",
        causation_id="door",
        reply_to="there",
        affinity_key="tea",
    )
    message = await client.take(queue)
    assert (message.message_id, message.type, message.correlation_id, message.reply_to) == (
        str(command_id),
        "Count",
        "visit",
        "there",
    )
    assert (message.content_type, message.delivery_mode) == ("application/json", 2)
    assert message.timestamp is not None
    assert abs(message.timestamp - before) < timedelta(minutes=1)
    assert message.headers == {"causation-id": "door", "affinity-key": "tea"}
    assert json.loads(message.body) == {"Key": "ä", "Limit": 2}


@pytest.mark.parametrize("body", [{"Key": "a", "Limit": 5}, Count(key="a", limit=5), b'{"Key": "a", "Limit": 5}'])
async def test_a_command_may_be_a_model_a_mapping_or_text(
    publisher: Publisher, client: AmqpClient, queue: str, body: Any
) -> None:
    command_id = await publisher.publish("tally", "Count", body)
    message = await client.take(queue)
    sent = json.loads(message.body)
    assert (sent["Key"], sent["Limit"]) == ("a", 5)
    # Without others given, the command is its own conversation.
    assert (message.message_id, message.correlation_id, message.reply_to) == (str(command_id), str(command_id), None)


async def test_the_trace_goes_with_the_command(
    publisher: Publisher, client: AmqpClient, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    monkeypatch.setattr(publisher_module, "tracer", tracer)
    with tracer.start_as_current_span("caller") as caller:
        await publisher.publish("tally", "Count", {"Key": "a"})
    sent = str((await client.take(queue)).headers["traceparent"])
    version, trace_id, span_id, flags = sent.split("-")
    assert (version, trace_id) == ("00", f"{caller.get_span_context().trace_id:032x}")
    assert int(flags, 16) & TraceFlags.SAMPLED
    # It names the span that published, not the caller's.
    assert span_id not in {f"{caller.get_span_context().span_id:016x}", "0" * 16}


async def test_a_command_that_no_queue_takes_is_refused_and_not_stored(
    publisher: Publisher, client: AmqpClient
) -> None:
    with pytest.raises(Unroutable, match="no queue takes messages for commands:tally"):
        await publisher.publish("tally", "Count", {"Key": "a"})
    with pytest.raises(Unroutable):
        await publisher.request("tally", "Count", {"Key": "a"})
    await client.channel.declare_exchange("commands", "direct", durable=True)
    with pytest.raises(Unroutable, match="no queue takes messages for commands:tally; nothing was stored"):
        await publisher.publish("tally", "Count", {"Key": "a"})
    queue = await client.channel.declare_queue("late", durable=True, arguments={"x-queue-type": "quorum"})
    await queue.bind("commands", "tally")
    # The connection is as good as before, and nothing appears that was refused.
    command_id = await publisher.publish("tally", "Count", {"Key": "b"})
    assert (await client.take("late")).message_id == str(command_id)
    assert await client.ready("late") == 0


async def test_each_copy_of_a_command_that_no_queue_takes_is_refused(publisher: Publisher) -> None:
    sending = [publisher.publish("tally", "Count", {"Key": "a"}, command_id=UUID(int=1)) for _ in range(5)]
    refused = await asyncio.gather(*sending, return_exceptions=True)
    assert [type(each) for each in refused] == [Unroutable] * 5


async def test_a_queue_that_is_full_is_told_apart_from_one_that_is_missing(
    publisher: Publisher, client: AmqpClient
) -> None:
    await client.channel.declare_exchange("commands", "direct", durable=True)
    full: FieldTable = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
    queue = await client.channel.declare_queue("full", durable=True, arguments=full)
    await queue.bind("commands", "tally")
    await publisher.publish("tally", "Count", {"Key": "a"})
    with pytest.raises(BrokerUnavailable, match="refused to store the message"):
        await publisher.publish("tally", "Count", {"Key": "b"})
    await client.take("full")
    await publisher.publish("tally", "Count", {"Key": "c"})


async def test_a_broker_that_is_not_there_is_named_in_time() -> None:
    port = free_port()
    async with asyncio.timeout(10):
        with pytest.raises(BrokerUnavailable, match=f"127.0.0.1:{port}"):
            async with Publisher.connect(f"amqp://app:secret@127.0.0.1:{port}/work", timeout=0.3):
                pass


async def test_a_virtual_host_that_is_not_there_is_the_settings_fault(vhost: str) -> None:
    with pytest.raises(BrokerMisconfigured, match="refuses the virtual host"):
        async with Publisher.connect(f"{vhost}_missing"):
            pass


async def test_a_broker_that_went_away_is_told_in_time_and_found_again(
    vhost: str, client: AmqpClient, queue: str
) -> None:
    async with proxy(vhost) as way, Publisher.connect(way.url) as publisher:
        await publisher.publish("tally", "Count", {"Key": "before"})
        way.stop()
        async with asyncio.timeout(10):
            with pytest.raises(BrokerUnavailable):
                await publisher.publish("tally", "Count", {"Key": "lost"}, timeout=0.3)
            with pytest.raises(BrokerUnavailable, match=r"the command was not stored within 0.3 s: RabbitMQ at"):
                await publisher.request("tally", "Count", {"Key": "lost"}, timeout=0.3)
        await way.start()
        await publisher.publish("tally", "Count", {"Key": "after"})
    keys = [json.loads((await client.take(queue)).body)["Key"] for _ in range(2)]
    assert (keys, await client.ready(queue)) == (["before", "after"], 0)


ORDER = {"order": "o1"}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        # A reply is found by its UUID: the command was decided, and the caller waited for nothing.
        (
            lambda publisher: publisher.request("tally", "Ring", ORDER, command_id=str(uuid4())),
            "a command's id is a UUID, not a value of type str: uuid.UUID(text) makes one of a text",
        ),
        (
            lambda publisher: publisher.publish("tally", "Ring", ORDER, command_id="7"),
            "a command's id is a UUID, not a value of type str: uuid.UUID(text) makes one of a text",
        ),
        (
            lambda publisher: publisher.cancel("tally", "7"),
            "a command's id is a UUID, not a value of type str: uuid.UUID(text) makes one of a text",
        ),
        (
            lambda publisher: publisher.request(Topology("tally"), "Ring", ORDER),
            "a domain is named by a text when a command is sent, not by a value of type Topology",
        ),
        (
            lambda publisher: publisher.schedule("tally", Reply, ORDER, timedelta(hours=1)),
            "a command is named by a text when a command is sent, not by the class Reply",
        ),
        (
            lambda publisher: publisher.schedule("tally", "Ring", ORDER, 60),
            "the command cannot be scheduled: its time is a datetime or a timedelta, not a value of type int",
        ),
        (
            lambda publisher: publisher.request("tally", "Ring", ORDER, timeout="5"),
            "a timeout is a number of seconds, not '5'",
        ),
        (
            lambda publisher: publisher.cancel("tally", uuid4(), timeout=float("nan")),
            "a timeout is a number of seconds, not nan",
        ),
    ],
)
async def test_an_argument_of_a_wrong_type_is_refused_before_anything_is_sent(
    publisher: Any, call: Callable[[Any], Awaitable[Any]], sentence: str
) -> None:
    with pytest.raises(MessageRefused) as raised:
        await call(publisher)
    assert str(raised.value) == sentence
