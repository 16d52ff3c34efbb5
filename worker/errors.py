"""What the worker's own parts raise. Failures of the store and of handlers keep their own families."""

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
        command_id: The command that ``Publisher.publish`` or ``request`` could not send, or got no answer to.
    """

    command_id: "UUID | None" = None


class SettingsError(Exception):
    """Raised when a setting is missing or wrong. One sentence for each, saying what to do."""


class BrokerError(WorkerError):
    """Something between us and RabbitMQ."""


class BrokerUnavailable(BrokerError):
    """Raised when the broker did not answer in time, or the connection broke before it did.

    What was sent may or may not have arrived. Sending it again with the same id is safe.
    """


class BrokerBusy(BrokerUnavailable):
    """Raised when the broker answers, but takes no connection or message for now: a limit, an alarm, a full queue."""


class BrokerMisconfigured(BrokerError):
    """Raised when the broker refuses the user, the virtual host, or a declaration; trying again will not help."""


class Unroutable(BrokerError):
    """Raised when no queue takes the message: nothing was stored."""


class NoSchedule(Unroutable):
    """Raised when a command was to be sent later, and its domain has no queue for that: nothing was stored."""


class MessageRefused(BrokerError):
    """Raised when a message is refused for what it is, such as its size: nothing was stored.

    Sending it again will not help. Others are not concerned.
    """


class FollowerError(WorkerError):
    """Raised when what follows the log cannot be run, or asked, as a person wants it. The message says what to do."""


class ProjectionError(FollowerError):
    """Raised when a projection cannot be run as it is declared, or as its database is. The message says what to do."""


class ScheduleError(WorkerError):
    """Raised when a schedule cannot be run as its database is. The message says what to do."""


class PositionNotProjected(WorkerError):
    """Raised by ``ReadModels.wait_for``: a projection had not come as far in time. It may be there a moment later."""


class NoReply(WorkerError):
    """Raised when a command was sent but its answer did not come in time. It may still be processed."""


class HandlerTimedOut(WorkerError):
    """Raised when a command had no answer within the handler timeout. Processing it again is safe."""


class IsolationFailed(WorkerError):
    """Raised when a poison message could not be given to a process of its own. No command is to blame."""


class KilledItsProcess(WorkerError):
    """Raised when the processes that decided a command ended over it. It would end every other one as well.

    One of them may have put the command on record before.
    """
