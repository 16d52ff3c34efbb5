"""A request's answer: what became of the command, whoever asks, and whatever happens to the connection meanwhile."""

import asyncio
import os
import struct
import sys
from asyncio.subprocess import PIPE
from uuid import UUID, uuid4

import pytest

from eventstore import Consistency, Filter, P, Position
from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import AmqpClient, Properties
from tests.support.connections import close_connections
from tests.support.fixtures.vhosts import Management
from tests.support.serving import QUEUES, Hold, received, serving, settled
from worker.amqp.declaration import declare
from worker.counters import End
from worker.errors import BrokerUnavailable, NoReply
from worker.message import Reply
from worker.publisher import Publisher


def of(key: str) -> Filter:
    return Filter.matching().any_event_type_of("Counted", "CountingFailed").and_any_predicate_of(P("Key", key))


def told(reply: Reply) -> tuple[str, str | None, bool]:
    return reply.outcome, reply.reason, reply.duplicate


async def test_each_outcome_is_told(store: PostgresEventStore, vhost: str, publisher: Publisher) -> None:
    command_id = uuid4()
    async with serving(store, vhost) as service:
        first = await publisher.request("tally", "Count", {"Key": "a", "Limit": 1}, command_id=command_id)
        refused = await publisher.request("tally", "Count", {"Key": "a", "Limit": 1})
        quietly = await publisher.request("tally", "Count", {"Key": "a", "Limit": 1, "Quietly": True})
        nothing = await publisher.request("tally", "CountOnce", {"Key": "a"})
        again = await publisher.request("tally", "Count", {"Key": "a", "Limit": 1}, command_id=command_id)
        broken = await publisher.request("tally", "Fly", {"Key": "a"})
    assert (told(first), first.command_id, first.first, first.last) == (("accepted", None, False), command_id, 1, 1)
    assert (told(refused), refused.first, refused.last) == (("rejected", "limit reached", False), 2, 2)
    assert (told(quietly), quietly.first, quietly.last) == (("rejected", "limit reached", False), None, None)
    assert (told(nothing), nothing.first, nothing.last) == (("unchanged", None, False), None, None)
    assert (told(again), again.first, again.position) == (("accepted", None, True), first.first, first.position)
    assert (broken.outcome, broken.position) == ("failed", None)
    assert broken.reason is not None
    assert broken.reason.startswith("unknown_command: the domain tally has no decider of the command 'Fly'")
    assert service.counters.ends == {
        End.ACCEPTED: 1,
        End.REJECTED: 2,
        End.UNCHANGED: 1,
        End.DUPLICATE: 1,
        End.DEAD_LETTERED: 1,
    }


async def test_callers_at_the_same_time_get_each_their_own(
    store: PostgresEventStore, vhost: str, publisher: Publisher
) -> None:
    async with serving(store, vhost), Publisher.connect(vhost, name="another") as another:
        replies = await asyncio.gather(
            *((publisher if n % 2 else another).request("tally", "Count", {"Key": str(n % 10)}) for n in range(60))
        )
    assert len({reply.command_id for reply in replies}) == 60
    for n in range(10):
        mine = replies[n::10]
        assert [reply.outcome for reply in mine].count("accepted") == 3
        assert {told(reply) for reply in mine} == {("accepted", None, False), ("rejected", "limit reached", False)}
        recorded = (await store.query(of(str(n)))).events
        assert sorted(reply.first for reply in mine if reply.first) == [event.sequence_number for event in recorded]


async def test_a_read_at_the_replys_position_sees_the_outcome(
    store: PostgresEventStore, vhost: str, publisher: Publisher
) -> None:
    async with serving(store, vhost):
        for n in range(20):
            reply = await publisher.request("tally", "Count", {"Key": f"k{n}"})
            seen = await store.query(of(f"k{n}"), consistency=Consistency.EVENTUAL, min_position=reply.position)
            assert [event.sequence_number for event in seen.events] == [reply.first]


async def test_a_command_that_nobody_answers_in_time_is_still_there(
    store: PostgresEventStore, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    await declare(client.channel, QUEUES)
    command_id = uuid4()
    with pytest.raises(NoReply, match=f"command {command_id} was sent, but not answered within 3 s"):
        # Long enough to connect and to have it stored, also on a busy machine.
        await publisher.request("tally", "Count", {"Key": "a"}, command_id=command_id, timeout=3)
    await client.holds(QUEUES.queue, 1)
    async with serving(store, vhost) as service:
        reply = await publisher.request("tally", "Count", {"Key": "a"}, command_id=command_id)
        await settled(service, 2)
    # The late answer to the first call and the answer to the second are one.
    assert (reply.outcome, reply.first) == ("accepted", 1)
    assert len((await store.query(of("a"))).events) == 1


async def test_a_request_outlives_its_connections(
    store: PostgresEventStore,
    vhost: str,
    publisher: Publisher,
    management: Management,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold = Hold(store.query_many)
    async with serving(store, vhost) as service:
        assert (await publisher.request("tally", "Count", {"Key": "before"})).outcome == "accepted"
        monkeypatch.setattr(store, "query_many", hold)
        asking = asyncio.create_task(publisher.request("tally", "Count", {"Key": "a"}))
        await hold.holds(1)
        await close_connections(management, vhost, "publisher", "publisher-replies")
        # It is sent again with the same id.
        await received(service, 3)
        assert not asking.done()
        hold.release()
        reply = await asking
        await settled(service, 3)
        assert service.counters.ends == {End.ACCEPTED: 2, End.DUPLICATE: 1}
    assert (reply.outcome, reply.first) == ("accepted", 2)
    assert len((await store.query(of("a"))).events) == 1


async def test_waiting_for_an_answer_ends_with_the_caller(
    store: PostgresEventStore, vhost: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = Hold(store.query_many)
    monkeypatch.setattr(store, "query_many", hold)
    async with serving(store, vhost) as service:
        asking = asyncio.create_task(publisher.request("tally", "Count", {"Key": "a"}))
        await hold.holds(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        hold.release()
        await settled(service, 1)
        assert service.counters.ends == {End.ACCEPTED: 1}
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"


class Unreadable(Properties):
    """Properties that the broker passes on and the library cannot read: a header's name that is no text, a far time."""

    def marshal(self) -> bytes:
        return struct.pack(">HI", 1 << 13 | 1 << 6, 8) + b"\x01\xe9S\x00\x00\x00\x01x" + b"\xff" * 8


# As any program does it, in a process where nobody has mended the library.
ASKING = """
import asyncio, os
from uuid import UUID
from worker import Publisher

async def main():
    async with Publisher.connect(os.environ["AMQP_URL"]) as publisher:
        print((await publisher.request("tally", "Count", {"Key": "a"}, command_id=UUID(int=7))).outcome)

asyncio.run(main())
"""


async def test_a_reply_with_properties_that_cannot_be_read_is_a_reply(vhost: str, client: AmqpClient) -> None:
    await declare(client.channel, QUEUES)
    environment = {"PATH": os.environ["PATH"], "AMQP_URL": vhost}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", ASKING, env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        command = await client.take(QUEUES.queue)
        reply = Reply(command_id=UUID(int=7), outcome="accepted", position=Position(number=1, token=1))
        await client.put(
            reply.to_json(), exchange="", routing_key=str(command.reply_to), form=Unreadable, message_type="reply"
        )
        async with asyncio.timeout(60):
            output, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # It was not asked for a second time, over another connection.
    assert (output, complaint, process.returncode) == (b"accepted\n", b"", 0)
    await client.holds(QUEUES.queue, 0)


async def test_a_closed_publisher_says_so(vhost: str, client: AmqpClient) -> None:
    await declare(client.channel, QUEUES)
    async with Publisher.connect(vhost) as publisher:
        await publisher.publish("tally", "Count", {"Key": "a"})
    with pytest.raises(BrokerUnavailable, match="closed"):
        await publisher.publish("tally", "Count", {"Key": "b"})
