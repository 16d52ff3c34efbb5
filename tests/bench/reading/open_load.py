"""An open load: commands at a fixed rate, independent of the answers, and the latency of each answer."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

import aiormq
import msgspec
from aiormq import spec
from aiormq.abc import AbstractChannel, ChannelFrame, DeliveredMessage
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from handlers.library.register_reader import RegisterReader
from tests.bench.process import BenchError
from tests.bench.reading.followed import domain
from worker.amqp.sender import PERSISTENT
from worker.message import CONTENT_TYPE
from worker.topology import EXCHANGE, Topology

__all__ = ["OpenLoad"]

_TICK_SECONDS = 0.004
_ANSWER_SECONDS = 120.0


class _Answer(msgspec.Struct):
    command_id: str


_ANSWERS = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True)
class _Made:
    """A command, ready to be written to the socket."""

    command_id: str
    frame: ChannelFrame


class OpenLoad:
    """Sends prepared commands without conflicts and receives the answers. Create it with ``open``.

    It shares the machine with the measured worker, so it does as little as possible meanwhile: no publisher confirms
    and no garbage collection.
    """

    def __init__(self, channel: AbstractChannel, replies: str) -> None:
        self._channel = channel
        self._replies = replies
        self._numbers = count(1)
        self._due: dict[str, float] = {}
        self._took: list[float] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, amqp_url: str) -> AsyncIterator["OpenLoad"]:
        """Connect, with an exclusive queue for answers."""
        connection = await aiormq.connect(amqp_url)
        try:
            channel = await connection.channel(publisher_confirms=False)
            declared = await channel.queue_declare(exclusive=True)
            load = cls(channel, str(declared.queue))
            await channel.basic_consume(load._replies, load._hear, no_ack=True)
            yield load
        finally:
            await connection.close()

    async def run(self, *, rate: int, seconds: float) -> list[float]:
        """Send ``rate`` commands a second; return each one's latency from its due time to its answer, in ms.

        Raises:
            BenchError: Not all were answered.
        """
        commands = [self._made() for _ in range(int(rate * seconds))]
        self._took = []
        with _no_garbage_collected():
            begun = time.perf_counter()
            sent = 0
            while sent < len(commands):
                now = time.perf_counter()
                until = min(int((now - begun) * rate) + 1, len(commands))
                for place in range(sent, until):
                    self._due[commands[place].command_id] = begun + place / rate
                    await self._channel.connection.write_queue.put(commands[place].frame)
                sent = until
                await asyncio.sleep(_TICK_SECONDS)
            await self._all_answered()
        return self._took

    async def _all_answered(self) -> None:
        deadline = time.perf_counter() + _ANSWER_SECONDS
        while self._due:
            if time.perf_counter() > deadline:
                raise BenchError(
                    f"{len(self._due)} commands were not answered within {_ANSWER_SECONDS:g} s: the machine is too "
                    "busy for the rate (RATE)"
                )
            await asyncio.sleep(_TICK_SECONDS)

    async def _hear(self, message: DeliveredMessage) -> None:
        due = self._due.pop(_ANSWERS.decode(message.body).command_id, None)
        if due is not None:
            self._took.append((time.perf_counter() - due) * 1000)

    def _made(self) -> _Made:
        command_id = str(uuid4())
        command = RegisterReader(reader_id=f"reader-{command_id}", name=f"Ada {next(self._numbers)}")
        body = command.model_dump_json(by_alias=True).encode()
        properties = spec.Basic.Properties(
            message_id=command_id,
            message_type=type(command).__name__,
            correlation_id=command_id,
            reply_to=self._replies,
            timestamp=datetime.now(UTC),
            content_type=CONTENT_TYPE,
            delivery_mode=PERSISTENT,
        )
        publish = spec.Basic.Publish(exchange=EXCHANGE, routing_key=Topology(domain.name).routing_key)
        header = ContentHeader(properties=properties, body_size=len(body))
        return _Made(
            command_id,
            ChannelFrame.marshall(channel_number=self._channel.number, frames=[publish, header, ContentBody(body)]),
        )


@contextmanager
def _no_garbage_collected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
