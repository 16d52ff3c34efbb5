"""The request: a message of the schedule queue, parsed."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from eventstore.counted import counted
from worker.amqp.sender import Properties
from worker.message import BadMessage, CommandMessage, read_command_id
from worker.rounds.forwarding import copy_of
from worker.schedule.deliver_at import read_deliver_at
from worker.schedule.scheduled import Scheduled

__all__ = ["Cancellation", "read_request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """A request to cancel a command.

    Attributes:
        command_id: Id of the command.
    """

    command_id: UUID


def read_request(
    properties: Properties, body: bytes, fits: Callable[[Properties], bool], *, most_bytes: int
) -> Scheduled | Cancellation:
    """Parse a message. Its body is not checked: a worker does that when the command is sent.

    Args:
        properties: The message's properties.
        body: The message's body.
        fits: Returns whether given properties can be encoded within the frame size.
        most_bytes: The largest body that workers accept, in bytes.

    Raises:
        BadMessage: The time or the id is missing or invalid; the name is missing or cannot be stored; or the body is
            too large.
    """
    due_at = read_deliver_at(properties.headers or {})
    if due_at is None:
        return Cancellation(command_id=read_command_id(properties))
    message = CommandMessage.parse(properties, body)
    if len(body) > most_bytes:
        raise BadMessage("too_large", f"the body has {counted(len(body), 'byte')}; at most {most_bytes:,} are read")
    if "\0" in message.command_type:
        raise BadMessage("not_storable", "the type has a NUL character")
    return Scheduled(
        command_id=message.command_id,
        command_type=message.command_type,
        due_at=due_at,
        # As it will be sent: no header that a broker acts on, and only headers that can be encoded.
        properties=copy_of(properties, fits, headers={}).marshal(),
        body=body,
    )
