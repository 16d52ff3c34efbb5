"""The prepared command: a parsed message, with what stays the same in all attempts at it."""

from typing import Any, Self

import msgspec
from opentelemetry.trace import SpanContext

from eventstore import Event, Outcome, OutcomeKind
from eventstore.append import check_count
from handlers.decider import Accepted, Command, Decision, DomainEvent, Rejected, Unchanged
from handlers.domain import Domain
from handlers.errors import InvalidCommand, UnknownCommand
from handlers.reads import Reads
from worker.message import BadMessage, CommandMessage, digest, id_text, read_body
from worker.settings import Settings

__all__ = ["PreparedCommand"]


class PreparedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is ready to be decided.

    Attributes:
        message: The message, as received.
        command: The parsed command.
        reads: The parts that its decision needs.
        digest: Hash by which another command with the same id is recognised.
        metadata: Metadata of its events: where they come from.
        details: Details of its receipt, besides the outcome.
    """

    message: CommandMessage
    command: Command
    reads: Reads
    digest: bytes
    metadata: dict[str, Any]
    details: dict[str, Any]

    @classmethod
    def open(cls, message: CommandMessage, domain: Domain, settings: Settings, span: SpanContext) -> Self:
        """Parse and check a message.

        Args:
            message: The message.
            domain: The domain of the command.
            settings: The limits of messages, and of parts per command.
            span: The span that the recorded events refer to.

        Raises:
            BadMessage: The body can never become a command of this domain.
            InvalidParts: The domain's code names invalid parts: as in ``Domain.reads``.
        """
        body = read_body(
            message.body, max_bytes=settings.worker_max_message_bytes, max_depth=settings.worker_max_json_depth
        )
        try:
            command = domain.parse(message.command_type, body)
        except UnknownCommand as error:
            raise BadMessage("unknown_command", str(error)) from error
        except InvalidCommand as error:
            raise BadMessage("invalid_command", str(error)) from error
        reads = domain.reads(command, most=settings.worker_most_parts)
        metadata = {
            "command_id": id_text(message.command_id),
            "command_type": message.command_type,
            "correlation_id": message.correlation_id,
            "causation_id": message.causation_id,
        }
        details = {
            "command_type": message.command_type,
            "correlation_id": message.correlation_id,
            "domain": domain.name,
        }
        if span.is_valid:
            trace_id = f"{span.trace_id:032x}"
            metadata["traceparent"] = f"00-{trace_id}-{span.span_id:016x}-{span.trace_flags:02x}"
            details["trace_id"] = trace_id
        return cls(
            message=message,
            command=command,
            reads=reads,
            digest=digest(message.command_type, body),
            metadata=metadata,
            details=details,
        )

    def to_record(self, decision: Decision, domain: Domain, attempts: int) -> tuple[list[Event], Outcome]:
        """Return a decision as the events and the outcome to record.

        Args:
            decision: The decision of the domain's code.
            domain: The domain of its events.
            attempts: Number of the attempt, from 1.

        Raises:
            TypeError: ``decision`` is not a decision.
            InvalidRequest: It has more events than can be appended at once.
            UnknownEventType, InvalidEvent: An event is unknown to the domain, or invalid: as in ``Domain.to_record``.
        """
        details = {**self.details, "attempts": attempts}
        facts: tuple[DomainEvent, ...]
        match decision:
            case Accepted(events=facts):
                outcome = Outcome(kind=OutcomeKind.ACCEPTED, details=details)
            case Rejected(reason=reason, event=event):
                facts = () if event is None else (event,)
                outcome = Outcome(kind=OutcomeKind.REJECTED, reason=reason, details=details)
            case Unchanged():
                facts = ()
                outcome = Outcome(kind=OutcomeKind.UNCHANGED, details=details)
            case _:
                raise TypeError(
                    f"the decider of {self.message.command_type} returned {decision!r}, which is not a decision"
                )
        check_count(len(facts))
        return [domain.to_record(fact, self.metadata) for fact in facts], outcome
