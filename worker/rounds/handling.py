"""Handling: one delivery, from its first byte to its settlement."""

import logging
import time
from datetime import UTC, datetime, timedelta

from opentelemetry import trace
from opentelemetry.trace import Span

from eventstore import StoreUnavailable
from worker.amqp.delivery import POISON_HEADER, Delivery
from worker.amqp.sender import Sender
from worker.counters import Counters, End
from worker.errors import DeadlineExceeded
from worker.history import History
from worker.isolation.isolator import Isolator
from worker.message import BadMessage, CommandMessage
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.forwarding import explain
from worker.rounds.handover import Handover
from worker.rounds.processor import Processed, Processor
from worker.rounds.replies import Replies
from worker.settings import Settings
from worker.settlement import Action, FailedElsewhere, Settlement, settle
from worker.telemetry.logs import concerning, whereabouts
from worker.telemetry.metrics import attempts, process_duration
from worker.telemetry.spans import consumed_destination, mark_failed, process_span
from worker.topology import Topology

__all__ = ["Handling"]

_log = logging.getLogger(__name__)

# From when the delivery came in. With a handler deadline after it, of 10 minutes at most, and as much before it for the
# delivery whose turn it was, all ends within the broker's consumer timeout of 30 minutes.
_HOLD_SECONDS = 600.0


class Handling:
    """Processes and settles the deliveries of one domain. Every path through it settles its delivery.

    Args:
        processor: Finds the answers.
        topology: Where the deliveries come from, and where they are sent on to.
        sender: Sends replies, retries and dead letters; never the connection that consumes.
        isolator: Finds the answers to messages that may be poison.
        gate: Shut while the database does not answer.
        counters: Where everything is counted.
        settings: The limits.
        server: The broker's host and port, for the spans.
    """

    def __init__(
        self,
        processor: Processor,
        topology: Topology,
        *,
        sender: Sender,
        isolator: Isolator,
        gate: CircuitBreaker,
        counters: Counters,
        settings: Settings,
        server: tuple[str, int],
    ) -> None:
        self._processor = processor
        self._topology = topology
        self._handover = Handover(sender, topology)
        self._replies = Replies(sender, counters, timeout=settings.worker_reply_timeout)
        self._isolator = isolator
        self._gate = gate
        self._counters = counters
        self._settings = settings
        self._server = server
        self._max_age = timedelta(seconds=settings.worker_max_age)
        self._labels = {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "process",
            "messaging.destination.name": consumed_destination(topology),
        }

    async def handle(self, delivery: Delivery) -> None:
        """Process one delivery and settle it.

        On cancellation it is not settled; the broker delivers it again, and it gets its answer then.
        """
        properties = delivery.properties
        with concerning(
            command_id=properties.message_id, command_type=properties.message_type, domain=self._topology.domain_name
        ):
            await self._handle(delivery)

    async def _handle(self, delivery: Delivery) -> None:
        try:
            message = CommandMessage.parse(delivery.properties, delivery.body)
        except BadMessage as bad:
            # Whose trace it belongs to cannot be told from an envelope that makes no sense.
            await self._settle(delivery, None, bad, trace.INVALID_SPAN)
            self._measure(delivery, bad)
            return
        if self._processor.knows(message.command_type):
            delivery.command = message.command_type
        span = process_span(
            message,
            self._topology,
            server=self._server,
            delivery_tag=delivery.tag,
            relation=self._settings.worker_trace_parent,
        )
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            happened = await self._process(delivery, message)
            if happened is None:
                await delivery.give_back()
            else:
                await self._settle(delivery, message, happened, span)
                self._measure(delivery, happened)

    def _measure(self, delivery: Delivery, happened: Processed | Exception) -> None:
        labels = self._labels
        if isinstance(happened, Processed):
            attempts.record(happened.attempts, {"command": delivery.command})
        else:
            labels = {**labels, "error.type": self._judge(delivery, happened).reason or ""}
        process_duration.record(time.monotonic() - delivery.received_at, labels)

    async def _process(self, delivery: Delivery, message: CommandMessage) -> Processed | Exception | None:
        """Process until there is something to settle: a pause of the database is waited out.

        Returns:
            What there is to settle; None when a drain ended the waiting.
        """
        held_until = delivery.received_at + _HOLD_SECONDS
        happened: Processed | Exception = StoreUnavailable("the database did not serve for as long as this was held")
        while (opening := await self._gate.passed(within=held_until - time.monotonic())) is not None:
            served = False
            try:
                happened = await self._decided(delivery, message)
                served = True
            except Exception as failure:  # noqa: BLE001  the settlement table knows what to do with each
                happened = failure
                served = not self._is_the_databases_fault(delivery, failure)
            finally:
                self._gate.left(opening, served=served)
            if served or not isinstance(happened, Exception):
                return happened
            self._gate.shut(happened, opening)
            if isinstance(happened, DeadlineExceeded):
                return happened
        return None if self._gate.is_draining else happened

    def _is_the_databases_fault(self, delivery: Delivery, failure: Exception) -> bool:
        # A decision waits for nothing but the database. If that hangs, no other command shall pay for it.
        return isinstance(failure, DeadlineExceeded) or self._judge(delivery, failure).action is Action.PAUSE

    async def _decided(self, delivery: Delivery, message: CommandMessage) -> Processed:
        if delivery.may_be_poison:
            return await self._isolator.decide(self._topology.domain_name, message)
        return await self._processor.process(message)

    def _judge(self, delivery: Delivery, happened: Processed | Exception) -> Settlement:
        history = History.read(delivery.properties.headers or {})
        return settle(happened, history, now=datetime.now(UTC), max_age=self._max_age)

    async def _settle(
        self, delivery: Delivery, message: CommandMessage | None, happened: Processed | Exception, span: Span
    ) -> None:
        settlement = self._judge(delivery, happened)
        if isinstance(happened, Processed):
            await self._answer(delivery, message, happened, span)
        elif settlement.action is Action.DEAD_LETTER:
            await self._dead_letter(delivery, message, happened, settlement, span)
        else:
            # A pause that outlasted the time we may hold a delivery is sent on as well, with its history as it was.
            await self._retry(delivery, happened, settlement, span)

    async def _answer(
        self, delivery: Delivery, message: CommandMessage | None, processed: Processed, span: Span
    ) -> None:
        receipt = processed.receipt
        outcome = receipt.outcome
        if span.is_recording():
            span.set_attribute("command.outcome", outcome.kind.value)
            span.set_attribute("command.attempts", processed.attempts)
            span.set_attribute("command.duplicate", receipt.duplicate)
            if outcome.reason is not None:
                span.set_attribute("command.reason", outcome.reason)
        if message is not None:
            await self._replies.answered(message, receipt)
        await delivery.acknowledge(End.DUPLICATE if receipt.duplicate else End(outcome.kind.value))

    async def _retry(self, delivery: Delivery, failure: Exception, settlement: Settlement, span: Span) -> None:
        reason = settlement.reason or ""
        span.add_event("retry later", {"command.reason": reason})
        headers = settlement.history.headers() | explain(
            failure, reason=reason, queue=self._topology.queue, with_traceback=False
        )
        if delivery.may_be_poison:
            headers[POISON_HEADER] = True
        rest = self._settings.worker_retry_delay
        if await self._handover.complete(delivery, self._topology.retry_queue, headers, rest=rest):
            if settlement.traceback:
                _log.warning("retry in %g s: %s: %s", rest, reason, _where(failure))
            else:
                _log.info("retry in %g s: %s", rest, reason)
            await delivery.acknowledge(End.RETRIED)

    async def _dead_letter(
        self,
        delivery: Delivery,
        message: CommandMessage | None,
        failure: Exception,
        settlement: Settlement,
        span: Span,
    ) -> None:
        reason = settlement.reason or ""
        mark_failed(span, reason, str(failure))
        headers = settlement.history.headers() | explain(
            failure, reason=reason, queue=self._topology.queue, with_traceback=settlement.traceback
        )
        if not await self._handover.complete(delivery, self._topology.dead_queue, headers):
            return
        _log.error("dead letter: %s: %s", reason, _where(failure) if settlement.traceback else failure)
        self._counters.dead_letters[reason] += 1
        if message is not None:
            await self._replies.failed(message, f"{reason}: {failure}")
        await delivery.acknowledge(End.DEAD_LETTERED)


def _where(failure: BaseException) -> str:
    """Say what kind of failure it is and where it was raised, also when that was in another process."""
    return failure.failure.where if isinstance(failure, FailedElsewhere) else whereabouts(failure)
