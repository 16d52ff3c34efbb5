"""The protocol between a worker and the process that decides its poison messages.

Each frame is a length in four bytes and MessagePack. The worker sends a ``Setup``; the process answers ``Ready`` when
it has loaded the domains. Then, for each command, the worker sends a ``DecideRequest``; the process answers ``Ready``
as soon as it has the command and the database, and a ``DecideResponse`` when it has decided.
"""

import asyncio
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from worker.message import CommandMessage
from worker.settings import Settings
from worker.settlement import Answer, Failure

__all__ = ["DecideRequest", "DecideResponse", "Ready", "Setup", "read_frame", "write_frame"]

_LENGTH_BYTES = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the process works with.

    Attributes:
        settings: The worker's.
    """

    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Says that the process can go on with what it was sent last, or why it cannot.

    Attributes:
        failure: Why not. No command is to blame for it.
    """

    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideRequest:
    """A command to be decided.

    Attributes:
        domain_name: The domain that the command belongs to.
        message: The command; its headers hold the trace context and nothing else.
        within: The time for all attempts together, in seconds.
    """

    domain_name: str
    message: CommandMessage
    within: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideResponse:
    """What became of a command. Exactly one of ``answer`` and ``failure`` is set.

    Attributes:
        answer: The answer.
        failure: Why there is none.
        attempts: How often the command was decided.
        conflicts: How many of these decisions were out of date.
        stale_conflicts: How many of these had been read from a replica.
    """

    answer: Answer | None = None
    failure: Failure | None = None
    attempts: int = 0
    conflicts: int = 0
    stale_conflicts: int = 0


async def read_frame(reader: asyncio.StreamReader, kind: type[T]) -> T:
    """Wait for the next frame.

    Raises:
        asyncio.IncompleteReadError, ConnectionError: The other end is gone.
    """
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
    return msgspec.msgpack.decode(await reader.readexactly(length), type=kind)


async def write_frame(writer: asyncio.StreamWriter, frame: object) -> None:
    """Send a frame.

    Raises:
        ConnectionError: The other end is gone.
    """
    encoded = msgspec.msgpack.encode(frame)
    writer.write(len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded)
    await writer.drain()
