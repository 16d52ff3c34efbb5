"""The settler: takes one domain's deliveries, and settles each of them."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from eventstore import EventStore, OutcomeKind, Receipt
from worker.amqp.delivery import Delivery
from worker.amqp.sender import Sender
from worker.body_form import check_form
from worker.counters import Counters, End
from worker.isolation.isolator import Isolator
from worker.message import BadMessage, CommandMessage
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.failures import Failures
from worker.rounds.handover import Handover
from worker.rounds.job import Job
from worker.rounds.poison_queue import PoisonQueue
from worker.rounds.processing import Processing
from worker.rounds.replies import Replies
from worker.rounds.scheduler import Scheduler
from worker.rounds.settlements import Settlements
from worker.settings import Settings
from worker.settlement import Answer
from worker.shard_keys import ShardKeys
from worker.telemetry.metrics import attempts
from worker.telemetry.spans import consumed_destination, is_recorded, process_span
from worker.topology import Topology

__all__ = ["Settler"]

_log = logging.getLogger(__name__)

# Measured from the receipt of the delivery. With a handler timeout after it, of 10 minutes at most, everything ends
# within the broker's consumer timeout of 30 minutes.
_HOLD_SECONDS = 600.0
_NOWHERE = Context()
_ENDS = {kind.value: End(kind.value) for kind in OutcomeKind}


class Settler:
    """Settles the deliveries of one domain, each exactly once.

    Args:
        scheduler: Decides the commands.
        topology: The queues of the domain: where deliveries come from and where they are sent on to.
        store: The event store, where receipts are looked up.
        sender: The connection that publishes retries and dead letters; never the one that consumes.
        replies: Sends replies.
        isolator: Decides possibly poisonous commands in a process of their own.
        breaker: Open while the database does not answer.
        counters: The worker's counters.
        settings: The worker's settings.
        server: The broker's host and port, for the spans.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        topology: Topology,
        *,
        store: EventStore,
        sender: Sender,
        replies: Replies,
        isolator: Isolator,
        breaker: CircuitBreaker,
        counters: Counters,
        settings: Settings,
        server: tuple[str, int],
    ) -> None:
        self._scheduler = scheduler
        self._topology = topology
        self._handover = Handover(sender, topology)
        self._replies = replies
        self._latency = counters.latency
        self._failures = Failures(
            store,
            topology,
            handover=self._handover,
            replies=replies,
            breaker=breaker,
            counters=counters,
            settings=settings,
        )
        self._trace_parent = settings.worker_trace_parent
        self._records_spans = is_recorded()
        self._server = server
        self._hold = _HOLD_SECONDS
        self._shard_keys = ShardKeys(topology, counters)
        self._poison = PoisonQueue(isolator, topology.domain_name, breaker)
        self._settlements = Settlements()
        self._draining = False
        self._labels = {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "process",
            "messaging.destination.name": consumed_destination(topology),
        }

    @property
    def trouble(self) -> str | None:
        """Why deliveries cannot be sent on, if some have waited for that too long; otherwise None."""
        return self._handover.trouble

    def take(self, delivery: Delivery) -> None:
        """Take a delivery; while draining, or if taking it fails, give it back at once."""
        if self._draining:
            self._settlements.give_back(delivery)
            return
        try:
            self._take(delivery)
        except Exception:  # noqa: BLE001  one delivery's failure is not another's
            # It is not acknowledged, so nothing is lost: the broker delivers it again, and counts that.
            _log.exception("handling delivery %d failed", delivery.tag)
            if delivery.is_open:
                self._settlements.give_back(delivery)

    def _take(self, delivery: Delivery) -> None:
        try:
            check_form(delivery.properties)
            message = CommandMessage.parse(delivery.properties, delivery.body)
        except BadMessage as bad:
            # The trace of an invalid envelope is not known.
            senseless = self._processing(delivery, None, trace.INVALID_SPAN)
            self._settlements.begin(delivery, partial(self._failed, senseless, bad, was_sent=False))
            return
        if self._scheduler.knows(message.command_type):
            delivery.command = message.command_type
        span = process_span(
            message,
            self._topology,
            server=self._server,
            delivery_tag=delivery.tag,
            relation=self._trace_parent,
            records=self._records_spans,
        )
        processing = self._processing(delivery, message, span)

        may_be_poison = delivery.may_be_poison
        if delivery.begins_shard:
            self._scheduler.doubt_states()
        shard = delivery.shard
        key = None if shard is None else delivery.affinity_key
        if shard is not None and key is not None:
            self._shard_keys.check(key, shard)

        def ended(job: Job, happened: Answer | Exception | None) -> None:
            if may_be_poison:
                self._scheduler.let_others_pass(job)
            self._ended(processing, job, happened)

        job = Job(
            message,
            ended,
            context=_NOWHERE if span is trace.INVALID_SPAN else trace.set_span_in_context(span, Context()),
            is_traced=span.is_recording(),
            is_abandoned=lambda: delivery.is_lost,
            may_be_recorded=delivery.is_redelivered or processing.was_retried,
            held_until=processing.held_until,
            affinity_key=key,
        )
        if may_be_poison:
            # Earlier ones of its key need not be waited for: the broker has delivered them as often.
            self._scheduler.hold_back_others(job)
            self._poison.submit(job)
        else:
            self._scheduler.submit(job)

    def _processing(self, delivery: Delivery, message: CommandMessage | None, span: Span) -> Processing:
        return Processing(
            delivery,
            message,
            span,
            domain_name=self._topology.domain_name,
            held_until=delivery.received_at + self._hold,
            labels=self._labels,
        )

    async def drain(self, until: float) -> int:
        """Give back deliveries that have not been tried, and let the others finish.

        Args:
            until: When all of it must be over, on the event loop's clock, in seconds.

        Returns:
            How many commands had been tried and did not finish in time.
        """
        self._draining = True
        left = 0
        try:
            clock = asyncio.get_running_loop().time
            # Rounded, since it is logged.
            seconds = round(max(until - clock(), 0.0), 1)
            deciding = self._scheduler.drain(seconds, self._poison.waiting_keys)
            left = sum(await asyncio.gather(deciding, self._poison.drain(seconds)))
            left += await self._settlements.finish(max(until - clock(), 0.0))
        finally:
            # Also on cancellation: every delivery is accounted for by then.
            await self.close()
        return left

    async def close(self) -> None:
        """Stop at once. What is not settled is left to the broker, which delivers it again."""
        self._draining = True
        await asyncio.gather(self._scheduler.close(), self._poison.close())
        # One turn of the loop, in which the jobs that were just ended call back.
        await asyncio.sleep(0)
        await self._settlements.close()

    def _ended(self, processing: Processing, job: Job, happened: Answer | Exception | None) -> None:
        if isinstance(happened, Answer):
            self._answer(processing, job.message, happened, was_sent=job.was_sent)
        elif happened is None:
            processing.span.end()
            self._settlements.give_back(processing.delivery)
        else:
            was_sent = job.was_sent or job.is_sent
            self._settlements.begin(processing.delivery, partial(self._failed, processing, happened, was_sent=was_sent))

    def _answer(self, processing: Processing, message: CommandMessage, answer: Answer, *, was_sent: bool) -> None:
        reply = self._noted(processing, message, answer, was_sent=was_sent)
        if reply is not None:
            self._settlements.begin(processing.delivery, reply)

    def _noted(
        self, processing: Processing, message: CommandMessage, answer: Answer, *, was_sent: bool
    ) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Count an answer, and acknowledge the delivery at once unless a reply is to be sent.

        Returns:
            What sends the reply and then acknowledges the delivery; None if no reply was asked for.
        """
        delivery, span, receipt = processing.delivery, processing.span, answer.receipt
        outcome = receipt.outcome
        if span.is_recording():
            span.set_attribute("command.outcome", outcome.kind.value)
            span.set_attribute("command.attempts", answer.attempts)
            span.set_attribute("command.duplicate", receipt.duplicate)
            if outcome.reason is not None:
                span.set_attribute("command.reason", outcome.reason)
        if answer.attempts:
            attempts.record(answer.attempts, {"command": delivery.command})
        # If an earlier attempt of this process recorded it without getting the answer, it is no duplicate.
        end = End.DUPLICATE if receipt.duplicate and not was_sent else _ENDS[outcome.kind.value]
        if message.reply_to is None:
            self._latency.record(processing.acknowledge(end))
            return None
        # The broker also redelivers a message that was published only once.
        repeated = receipt.duplicate and not (was_sent or delivery.is_redelivered or processing.was_retried)
        return partial(self._reply, processing, message, receipt, end, repeated=repeated)

    async def _reply(
        self, processing: Processing, message: CommandMessage, receipt: Receipt, end: End, *, repeated: bool
    ) -> None:
        with processing.current():
            await self._replies.answered(message, receipt, duplicate=repeated)
        self._latency.record(processing.acknowledge(end))

    async def _failed(self, processing: Processing, failure: Exception, *, was_sent: bool) -> None:
        found = await self._failures.settle(processing, failure)
        if found is not None and processing.message is not None:
            # The command that failed now was recorded by an earlier delivery, or by a process that has ended.
            answer = Answer(receipt=found.as_duplicate(), attempts=0)
            reply = self._noted(processing, processing.message, answer, was_sent=was_sent)
            if reply is not None:
                # Within this task: a delivery whose settlement ends without settling it is abandoned.
                await reply()
