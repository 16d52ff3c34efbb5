"""The errand: what a worker and the process that decides suspects for it say to each other.

Each frame is a length in four bytes and MessagePack. The worker sends its settings, then one errand after another; the
process says that it is ready, then, for each errand, that it has it, and what came of it.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from worker.message import CommandMessage
from worker.settlement import Answer, Failure

__all__ = ["DecideRequest", "DecideResponse", "Setup", "read_frame", "write_frame"]

_LENGTH_BYTES = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the process works with.

    Attributes:
        settings: The worker's settings, by field name.
    """

    settings: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideRequest:
    """A command to be decided.

    Attributes:
        domain_name: By which domain.
        message: The command; its headers hold nothing but the trace that goes on.
    """

    domain_name: str
    message: CommandMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideResponse:
    """What the process has to say. One without an answer or a failure says that it has come so far.

    Attributes:
        processed: The answer.
        failure: Why there is none.
        attempts: How often the command was decided.
        conflicts: How many of these decisions were out of date.
        stale_conflicts: How many of these had been read from a replica.
    """

    processed: Answer | None = None
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
