"""The request: a message of the schedule's queue, as what it asks for."""

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
    """A command that is not to be sent any more.

    Attributes:
        command_id: Its id.
    """

    command_id: UUID


def read_request(
    properties: Properties, body: bytes, fits: Callable[[Properties], bool], *, most_bytes: int
) -> Scheduled | Cancellation:
    """Read a message. Whether its body is the command that it says it is, a worker finds out when it is sent.

    Args:
        properties: Its properties.
        body: Its bytes.
        fits: Says whether properties can be written, and travel.
        most_bytes: The largest body that workers accept.

    Raises:
        BadMessage: The time or the id is missing or none, the name is missing, the body is too large, or the name is
            none that can be stored.
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
        # As it will be sent: none of its headers is acted upon by a broker then, and all of them can be written.
        properties=copy_of(properties, fits, headers={}).marshal(),
        body=body,
    )
