"""A delivery moves on to another queue, whatever became of the queue and however much the message carries."""

import pytest

from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import AmqpClient
from tests.support.serving import QUEUES, serving, settled
from worker.counters import End

BAD, BUG = b"no JSON", b'{"Key": "a"}'
# Its error is as long, and its traceback longer: either fits no frame beside headers of these sizes.
LONG_BUG = b'{"Key": "%s"}' % (b"a" * 2_000)
LARGE, LARGER = 127_000, 130_000


async def test_a_queue_that_somebody_deleted_is_declared_again(
    store: PostgresEventStore, vhost: str, client: AmqpClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(store, vhost) as service:
        await client.delete(QUEUES.dead_queue)
        # More than are handled at the same time.
        for _ in range(12):
            await client.put(BAD)
        # Until the queue is there again, nobody can look at it.
        await settled(service, 12)
        await client.holds(QUEUES.dead_queue, 12)
        await client.delete(QUEUES.retry_queue)
        await client.put(BUG, message_type="Explode")
        # By way of the retry queue, twice.
        await settled(service, 15)
        assert await client.ready(QUEUES.dead_queue) == 13
    assert service.counters.ends == {End.DEAD_LETTERED: 13, End.RETRIED: 2}
    assert (await client.take(QUEUES.dead_queue)).headers["worker-reason"] == "not_json"
    said = [message for message in caplog.messages if message.startswith("declared the queues of tally again")]
    assert {message.rpartition(" ")[2] for message in said} == {QUEUES.dead_queue, QUEUES.retry_queue}


@pytest.mark.parametrize(
    ("size", "dropped", "traceback"),
    [(LARGE, None, "left out: "), (LARGER, "large", "Traceback")],
    ids=["without the traceback", "without the publisher's"],
)
async def test_headers_that_fill_a_frame_make_room_for_ours(
    store: PostgresEventStore, vhost: str, client: AmqpClient, *, size: int, dropped: str | None, traceback: str
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with serving(store, vhost) as service:
        await client.put(LONG_BUG, message_type="Explode", headers={"traceparent": trace, "large": "x" * size})
        letter = await client.take(QUEUES.dead_queue)
        # No connection has been lost.
        await client.put(BUG, reply_to=client.replies)
        assert (await client.answer())["outcome"] == "accepted"
        await settled(service, 4)
    assert service.counters.ends == {End.RETRIED: 2, End.DEAD_LETTERED: 1, End.ACCEPTED: 1}
    assert (letter.headers["traceparent"], letter.headers["worker-handler-failures"]) == (trace, 3)
    assert ("large" in letter.headers) == (dropped is None)
    assert letter.headers.get("worker-dropped-headers") == dropped
    assert str(letter.headers["worker-traceback"]).startswith(traceback)
