"""The errors of the worker's own parts. Errors of the store and of handlers have their own base classes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

__all__ = [
    "BrokerBusy",
    "BrokerError",
    "BrokerMisconfigured",
    "BrokerUnavailable",
    "FollowerError",
    "HandlerTimedOut",
    "IsolationFailed",
    "KilledItsProcess",
    "MessageRefused",
    "NoReply",
    "NoSchedule",
    "PositionNotProjected",
    "ProjectionError",
    "ScheduleError",
    "SettingsError",
    "Unroutable",
    "WorkerError",
]


class WorkerError(Exception):
    """Base of every error that the worker's own parts raise.

    Attributes:
        command_id: Id of the command that ``Publisher.publish`` or ``request`` could not send, or got no answer to;
            otherwise None.
    """

    command_id: "UUID | None" = None


class SettingsError(Exception):
    """Raised when settings are missing or wrong. One sentence for each, which says what to do."""


class BrokerError(WorkerError):
    """Base of errors between this process and RabbitMQ."""


class BrokerUnavailable(BrokerError):
    """Raised when the broker did not answer in time, or the connection broke before it did.

    The message may or may not have arrived. Sending it again with the same id is safe.
    """


class BrokerBusy(BrokerUnavailable):
    """Raised when the broker accepts no connection or message for now: a limit, an alarm, or a full queue."""


class BrokerMisconfigured(BrokerError):
    """Raised when the broker refuses the user, the virtual host, or a declaration; trying again will not help."""


class Unroutable(BrokerError):
    """Raised when no queue takes the message: nothing was stored."""


class NoSchedule(Unroutable):
    """Raised when a command was to be scheduled, and its domain has no schedule queue: nothing was stored."""


class MessageRefused(BrokerError):
    """Raised when a message is refused because of its size or content: nothing was stored.

    Sending it again will not help. Other messages are not affected.
    """


class FollowerError(WorkerError):
    """Raised when a projection, reaction or relay cannot be run or managed as asked. The message says what to do."""


class ProjectionError(FollowerError):
    """Raised when a projection cannot be run with its declaration or its database. The message says what to do."""


class ScheduleError(WorkerError):
    """Raised when a schedule cannot be run with its database. The message says what to do."""


class PositionNotProjected(WorkerError):
    """Raised by ``ReadModels.wait_for`` when a projection did not reach the position in time. It may do so later."""


class NoReply(WorkerError):
    """Raised when a command was sent but its reply did not arrive in time. The command may still be processed."""


class HandlerTimedOut(WorkerError):
    """Raised when a command had no answer within the handler timeout. Processing it again is safe."""


class IsolationFailed(WorkerError):
    """Raised when a possibly poisonous message could not be given to a process of its own. No command caused it."""


class KilledItsProcess(WorkerError):
    """Raised when processes that decided a command ended during it. It would end every other process as well.

    One of them may have recorded the command before it ended.
    """
