"""The protocol between a worker and the process that decides its possibly poisonous messages.

Each frame is a length in four bytes, and MessagePack. The worker sends a ``Setup``; the process answers ``Ready`` when
it has loaded the domains. Then, for each command, the worker sends a ``DecideRequest``; the process answers ``Ready``
when it has the command and is connected to the database, and a ``DecideResponse`` when it has decided.
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
    """The first frame to the process.

    Attributes:
        settings: The worker's settings.
    """

    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The answer that the process can go on with the last frame, or why it cannot.

    Attributes:
        failure: Why it cannot go on; None if it can. No command is the cause.
    """

    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideRequest:
    """A command to decide.

    Attributes:
        domain_name: Name of the command's domain.
        message: The command. Its headers are reduced to the trace context.
        within: The time for all attempts together, in seconds.
    """

    domain_name: str
    message: CommandMessage
    within: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideResponse:
    """The result of a command. Exactly one of ``answer`` and ``failure`` is set.

    Attributes:
        answer: The answer.
        failure: Why there is no answer.
        attempts: How often the command was decided.
        conflicts: How many of these decisions conflicted.
        stale_conflicts: How many of the conflicting ones were read from a replica.
    """

    answer: Answer | None = None
    failure: Failure | None = None
    attempts: int = 0
    conflicts: int = 0
    stale_conflicts: int = 0


async def read_frame(reader: asyncio.StreamReader, kind: type[T]) -> T:
    """Wait for the next frame.

    Args:
        reader: The stream to read from.
        kind: The type of the frame.

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
