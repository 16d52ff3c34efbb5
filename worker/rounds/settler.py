"""The settler: takes one domain's deliveries, and sees every one of them to its settlement."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from eventstore import EventStore, EventStoreError, OutcomeKind, Receipt, StoreUnavailable
from handlers.complaint import text_of
from worker.amqp.delivery import POISON_HEADER, Delivery
from worker.amqp.sender import Sender
from worker.body_form import check_form
from worker.counters import Counters, End
from worker.history import ATTEMPTS_HEADER, History
from worker.isolation.isolator import Isolator
from worker.message import BadMessage, CommandMessage, digest, read_body
from worker.rounds.circuit_breaker import DOWN, CircuitBreaker
from worker.rounds.forwarding import ERROR_HEADER, REASON_HEADER, explain
from worker.rounds.handover import Handover, Sent
from worker.rounds.job import Job
from worker.rounds.poison_queue import PoisonQueue
from worker.rounds.replies import Replies
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer, DeadLetter, FailedElsewhere, Pause, Retry, settle
from worker.shard_keys import ShardKeys
from worker.telemetry.logs import concerning, whereabouts
from worker.telemetry.metrics import attempts, process_duration
from worker.telemetry.spans import consumed_destination, mark_failed, process_span
from worker.topology import Topology

__all__ = ["Settler"]

_log = logging.getLogger(__name__)

# From when the delivery came in. With a handler timeout after it, of 10 minutes at most, all ends within the broker's
# consumer timeout of 30 minutes.
_HOLD_SECONDS = 600.0
_REUSED = "id_reused"
_REFUSED = "refused_copy"
_ENDS = {kind.value: End(kind.value) for kind in OutcomeKind}


class Settler:
    """Settles the deliveries of one domain, each exactly once.

    Args:
        scheduler: Finds the answers.
        topology: Where the deliveries come from, and where they are sent on to.
        store: Where receipts are looked up.
        sender: Sends retries and dead letters; never the connection that consumes.
        replies: Sends replies.
        isolator: Finds the answers to what may be poison.
        breaker: Open while the database does not answer.
        counters: Where everything is counted.
        settings: The limits.
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
        hold: float = _HOLD_SECONDS,
    ) -> None:
        self._scheduler = scheduler
        self._topology = topology
        self._store = store
        self._handover = Handover(sender, topology)
        self._replies = replies
        self._breaker = breaker
        self._counters = counters
        self._settings = settings
        self._server = server
        self._hold = hold
        self._max_age = timedelta(seconds=settings.worker_max_age)
        self._shard_keys = ShardKeys(topology, counters)
        self._poison = PoisonQueue(isolator, topology.domain_name, breaker)
        self._tasks: dict[asyncio.Task[None], Delivery] = {}
        self._draining = False
        self._labels = {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "process",
            "messaging.destination.name": consumed_destination(topology),
        }

    @property
    def trouble(self) -> str | None:
        """Why deliveries cannot be sent on, if some have waited for that too long."""
        return self._handover.trouble

    def take(self, delivery: Delivery) -> None:
        """Take a delivery, or give it back at once while we drain, or if it cannot be taken."""
        if self._draining:
            self._spawn(delivery, partial(self._give_back, delivery))
            return
        try:
            self._take(delivery)
        except Exception:  # noqa: BLE001  one delivery's failure is not another's
            # Nothing is acknowledged, so nothing is lost: the broker delivers it again, and counts.
            _log.exception("taking delivery %d failed", delivery.tag)
            if delivery.is_open:
                self._spawn(delivery, partial(self._give_back, delivery))

    def _take(self, delivery: Delivery) -> None:
        try:
            check_form(delivery.properties)
            message = CommandMessage.parse(delivery.properties, delivery.body)
        except BadMessage as bad:
            # Whose trace it belongs to cannot be told from an envelope that makes no sense.
            self._spawn(delivery, partial(self._failed, delivery, None, bad, trace.INVALID_SPAN))
            return
        if self._scheduler.knows(message.command_type):
            delivery.command = message.command_type
        span = process_span(
            message,
            self._topology,
            server=self._server,
            delivery_tag=delivery.tag,
            relation=self._settings.worker_trace_parent,
        )

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
            self._ended(delivery, job, happened, span)

        job = Job(
            message,
            ended,
            context=trace.set_span_in_context(span, Context()),
            is_abandoned=lambda: delivery.is_lost,
            may_be_recorded=delivery.is_redelivered or _was_retried(delivery),
            held_until=delivery.received_at + self._hold,
            affinity_key=key,
        )
        if may_be_poison:
            # Earlier ones of its key need not be waited for: the broker has handed them out as often.
            self._scheduler.hold_back_others(job)
            self._poison.submit(job)
        else:
            self._scheduler.submit(job)

    async def drain(self, until: float) -> int:
        """Give back what has not been tried, and let what has finish.

        Args:
            until: The moment by which all of it is over, on the event loop's clock.

        Returns:
            How many commands had been tried and did not finish in time.
        """
        self._draining = True
        left = 0
        try:
            clock = asyncio.get_running_loop().time
            # Rounded, since it is told.
            seconds = round(max(until - clock(), 0.0), 1)
            left = sum(await asyncio.gather(self._scheduler.drain(seconds), self._poison.drain(seconds)))
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=max(until - clock(), 0.0))
            left += len(self._tasks)
        finally:
            # Also when we are told to hurry: every delivery is accounted for by then.
            await self.close()
        return left

    async def close(self) -> None:
        """Stop at once. What is not settled is left to the broker, which delivers it again."""
        self._draining = True
        await asyncio.gather(self._scheduler.close(), self._poison.close())
        # One turn, in which those just ended say so.
        await asyncio.sleep(0)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, delivery: Delivery, job: Job, happened: Answer | Exception | None, span: Span) -> None:
        if isinstance(happened, Answer):
            self._answer(delivery, job.message, happened, span, was_sent=job.was_sent)
        elif happened is None:
            span.end()
            self._spawn(delivery, partial(self._give_back, delivery))
        else:
            self._spawn(delivery, partial(self._failed, delivery, job.message, happened, span))

    def _answer(
        self, delivery: Delivery, message: CommandMessage, answer: Answer, span: Span, *, was_sent: bool
    ) -> None:
        receipt = answer.receipt
        outcome = receipt.outcome
        if span.is_recording():
            span.set_attribute("command.outcome", outcome.kind.value)
            span.set_attribute("command.attempts", answer.attempts)
            span.set_attribute("command.duplicate", receipt.duplicate)
            if outcome.reason is not None:
                span.set_attribute("command.reason", outcome.reason)
        if answer.attempts:
            attempts.record(answer.attempts, {"command": delivery.command})
        # By an earlier attempt of ours, whose answer did not come, it is no duplicate.
        end = End.DUPLICATE if receipt.duplicate and not was_sent else _ENDS[outcome.kind.value]
        if message.reply_to is None:
            self._settled(delivery, span, end)
        else:
            # The broker hands a message out again for other reasons than that somebody sent it twice.
            repeated = receipt.duplicate and not (was_sent or delivery.is_redelivered or _was_retried(delivery))
            self._spawn(delivery, partial(self._reply, delivery, message, receipt, span, end, repeated=repeated))

    async def _reply(
        self, delivery: Delivery, message: CommandMessage, receipt: Receipt, span: Span, end: End, *, repeated: bool
    ) -> None:
        with _around(span, delivery, self._topology):
            await self._replies.answered(message, receipt, duplicate=repeated)
        self._settled(delivery, span, end)

    def _settled(self, delivery: Delivery, span: Span, end: End, error: str | None = None) -> None:
        delivery.acknowledge(end)
        labels = self._labels if error is None else {**self._labels, "error.type": error}
        process_duration.record(time.monotonic() - delivery.received_at, labels)
        span.end()

    async def _give_back(self, delivery: Delivery) -> None:
        if delivery.is_lost:
            delivery.abandon()
        else:
            await delivery.give_back()

    async def _failed(self, delivery: Delivery, message: CommandMessage | None, failure: Exception, span: Span) -> None:
        """Settle a delivery that has no answer; unless it turns out to have one after all."""
        with _around(span, delivery, self._topology):
            history = History.read(delivery.properties.headers or {})
            settlement = settle(failure, history, now=datetime.now(UTC), max_age=self._max_age)
            match settlement:
                case Answer():
                    raise AssertionError("a failure is no answer")
                case Pause(reason=reason):
                    # It outlasted the time for which we may hold a delivery. Its history is as it was.
                    await self._retry(delivery, message, failure, Retry(reason=reason, history=history), span)
                    return
                case DeadLetter(reason=reason) | Retry(reason=reason, bug=True):
                    if message is not None and reason != _REUSED:
                        try:
                            found = await self._recorded(delivery, message)
                        except TimeoutError:
                            failure = StoreUnavailable("the database did not say whether it has an answer")
                            held = Retry(reason="store_unavailable", history=history)
                            await self._retry(delivery, message, failure, held, span)
                            return
                        if found is not None:
                            self._answer(delivery, message, Answer(receipt=found, attempts=0), span, was_sent=True)
                            return
                case Retry():
                    pass
            if isinstance(settlement, Retry):
                await self._retry(delivery, message, failure, settlement, span)
            else:
                await self._dead_letter(delivery, message, failure, settlement, span)

    async def _recorded(self, delivery: Delivery, message: CommandMessage) -> Receipt | None:
        """Look up a command's answer on the primary: whatever failed, it may be on record.

        Raises:
            TimeoutError: The database did not answer for as long as we may hold the delivery.
        """
        try:
            body = read_body(
                message.body,
                max_bytes=self._settings.worker_max_message_bytes,
                max_depth=self._settings.worker_max_json_depth,
            )
        except BadMessage:
            return None  # what cannot be read was never recorded
        held_until = delivery.received_at + self._hold
        async with asyncio.timeout(max(held_until - time.monotonic(), 1.0)):
            while True:
                era = await self._breaker.closed()
                try:
                    return await self._store.receipt(
                        message.command_id,
                        scope=self._topology.domain_name,
                        digest=digest(message.command_type, body),
                    )
                except DOWN as error:
                    self._breaker.open(error, era)
                except EventStoreError as error:
                    _log.warning("whether it has an answer could not be told: %s", error)
                    return None

    async def _retry(
        self,
        delivery: Delivery,
        message: CommandMessage | None,
        failure: Exception,
        settlement: Retry,
        span: Span,
    ) -> None:
        reason = settlement.reason
        span.add_event("retry later", {"command.reason": reason})
        headers = settlement.history.headers() | explain(
            failure, reason=reason, queue=self._topology.queue, with_traceback=False
        )
        if delivery.may_be_poison:
            headers[POISON_HEADER] = True
        rest = self._settings.worker_retry_delay
        sent = await self._handover.complete(delivery, self._topology.retry_queue, headers, rest=rest)
        if sent is Sent.STORED:
            if settlement.bug:
                _log.warning("retry in %g s: %s: %s", rest, reason, _where(failure))
            else:
                _log.info("retry in %g s: %s", rest, reason)
            self._settled(delivery, span, End.RETRIED, reason)
        elif sent is Sent.REFUSED:
            await self._put_aside(delivery, message, headers, span)
        else:
            span.end()

    async def _dead_letter(
        self,
        delivery: Delivery,
        message: CommandMessage | None,
        failure: Exception,
        settlement: DeadLetter,
        span: Span,
    ) -> None:
        reason = settlement.reason
        headers = settlement.history.headers() | explain(
            failure, reason=reason, queue=self._topology.queue, with_traceback=settlement.bug
        )
        mark_failed(span, reason, headers[ERROR_HEADER])
        sent = await self._handover.complete(delivery, self._topology.dead_queue, headers)
        if sent is Sent.REFUSED:
            await self._put_aside(delivery, message, headers, span)
            return
        if sent is Sent.LOST:
            span.end()
            return
        if settlement.bug and message is not None:
            where, shown = _where(failure), f"`worker dead-letters show {message.command_id}` shows the traceback"
            _log.error("dead letter: %s: %s%s %s", reason, where, "" if where.endswith("?") else ";", shown)
        else:
            _log.error("dead letter: %s: %s", reason, text_of(failure))
        self._counters.dead_letters[reason] += 1
        await self._replies.failed(delivery.properties, message, f"{reason}: {headers[ERROR_HEADER]}")
        self._settled(delivery, span, End.DEAD_LETTERED, reason)

    async def _put_aside(
        self, delivery: Delivery, message: CommandMessage | None, headers: Mapping[str, Any], span: Span
    ) -> None:
        """Have the broker make a dead letter of a message that it takes no copy of: as it is, without our reason."""
        reason, said = headers[REASON_HEADER], headers[ERROR_HEADER]
        mark_failed(span, _REFUSED, said)
        _log.error("dead letter: %s, put aside by the broker itself, of: %s: %s", _REFUSED, reason, said)
        await delivery.reject(End.DEAD_LETTERED)
        self._counters.dead_letters[_REFUSED] += 1
        process_duration.record(time.monotonic() - delivery.received_at, {**self._labels, "error.type": _REFUSED})
        await self._replies.failed(
            delivery.properties, message, f"{reason} (and the broker takes no copy of the message): {said}"
        )
        span.end()

    async def _see_to(self, delivery: Delivery, settle_it: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have a delivery settled, one way or the other."""
        try:
            await settle_it()
        except Exception:  # noqa: BLE001  one delivery's failure is not another's
            # Nothing is acknowledged, so nothing is lost: the broker delivers it again, and counts.
            _log.exception("settling delivery %d failed", delivery.tag)
            if delivery.is_open:
                await self._give_back(delivery)

    def _spawn(self, delivery: Delivery, settle_it: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(self._see_to(delivery, settle_it))
        self._tasks[task] = delivery
        task.add_done_callback(self._ended_task)

    def _ended_task(self, task: asyncio.Task[None]) -> None:
        delivery = self._tasks.pop(task)
        if delivery.is_open:
            # It was cut short: the broker delivers the message again.
            delivery.abandon()


def _was_retried(delivery: Delivery) -> bool:
    headers = delivery.properties.headers or {}
    return ATTEMPTS_HEADER in headers and History.read(headers).attempts > 0


@contextmanager
def _around(span: Span, delivery: Delivery, topology: Topology) -> Iterator[None]:
    """Have everything inside the ``with`` belong to a delivery: its trace, and the lines that are logged."""
    properties = delivery.properties
    with (
        trace.use_span(span, record_exception=False, set_status_on_exception=False),
        concerning(command_id=properties.message_id, command_type=properties.message_type, domain=topology.domain_name),
    ):
        yield


def _where(failure: BaseException) -> str:
    """Say what kind of failure it is and where it was raised, also when that was in another process."""
    return failure.failure.where if isinstance(failure, FailedElsewhere) else whereabouts(failure)
