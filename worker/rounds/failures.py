"""Failures: what happens to deliveries whose command has no answer, by the settlement table."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from eventstore import EventStore, EventStoreError, PermanentError, Receipt, StoreUnavailable
from handlers.complaint import text_of
from worker.amqp.delivery import POISON_HEADER
from worker.counters import Counters, End
from worker.history import History
from worker.message import BadMessage, CommandMessage, digest, read_body, spelled_digest
from worker.rounds.circuit_breaker import DOWN, CircuitBreaker
from worker.rounds.forwarding import ERROR_HEADER, REASON_HEADER, explain
from worker.rounds.handover import Handover, Sent
from worker.rounds.processing import Processing
from worker.rounds.replies import Replies
from worker.settings import Settings
from worker.settlement import Answer, DeadLetter, FailedElsewhere, Pause, Retry, settle
from worker.telemetry.logs import whereabouts
from worker.telemetry.spans import mark_failed
from worker.topology import Topology

__all__ = ["Failures"]

_log = logging.getLogger(__name__)

_REUSED = "id_reused"
_REFUSED = "refused_copy"
# The share of the maximum age that a command is retried for by the number of its retries, whatever clocks say.
_LEAST_SHARE = 0.1


class Failures:
    """Sends failed deliveries of one domain to its retry queue or its dead-letter queue.

    Args:
        store: The event store, where receipts are looked up.
        topology: The queues of the domain: where deliveries come from and where they are sent on to.
        handover: Sends deliveries on to another queue.
        replies: Sends a reply to publishers that asked for one and get no answer.
        breaker: Open while the database does not answer.
        counters: Counts dead letters.
        settings: The worker's settings: limits of messages, longest age, retry delay.
    """

    def __init__(
        self,
        store: EventStore,
        topology: Topology,
        *,
        handover: Handover,
        replies: Replies,
        breaker: CircuitBreaker,
        counters: Counters,
        settings: Settings,
    ) -> None:
        self._store = store
        self._topology = topology
        self._handover = handover
        self._replies = replies
        self._breaker = breaker
        self._counters = counters
        self._settings = settings
        self._max_age = timedelta(seconds=settings.worker_max_age)
        self._least_retries = int(_LEAST_SHARE * settings.worker_max_age / settings.worker_retry_delay)

    async def settle(self, processing: Processing, failure: Exception) -> Receipt | None:
        """Settle a delivery whose command failed, unless a receipt shows that it was recorded after all.

        Returns:
            The receipt, if one is found: the delivery is then not settled yet. None if it is settled.
        """
        with processing.current():
            delivery, message = processing.delivery, processing.message
            history = History.read(delivery.properties.headers or {})
            settlement = settle(
                failure,
                history,
                now=datetime.now(UTC),
                max_age=self._max_age,
                least_retries=self._least_retries,
            )
            match settlement:
                case Answer():
                    raise AssertionError("a failure is no answer")
                case Pause(reason=reason):
                    # It lasted longer than the delivery may be held. Its history stays as it was.
                    settlement = Retry(reason=reason, history=history)
                case DeadLetter(reason=reason) | Retry(reason=reason, bug=True):
                    if message is not None:
                        digest_of = spelled_digest if reason == _REUSED else digest
                        try:
                            found = await self._recorded(processing, message, digest_of)
                        except (TimeoutError, EventStoreError):
                            failure = StoreUnavailable("the database did not say whether it has an answer")
                            settlement = Retry(reason="store_unavailable", history=history)
                        else:
                            if found is not None:
                                return found
                case Retry():
                    pass
            if isinstance(settlement, Retry):
                await self._retry(processing, failure, settlement)
            else:
                await self._dead_letter(processing, failure, settlement)
            return None

    async def _recorded(
        self, processing: Processing, message: CommandMessage, digest_of: Callable[[str, Mapping[str, Any]], bytes]
    ) -> Receipt | None:
        """Look up a command's receipt on the primary: the failed command may have been recorded nevertheless.

        An append of it that a killed process has left behind may still wait for the lock, or for a standby. So the
        look-up comes after an append of nothing, which waits for the lock behind it.

        Args:
            processing: The delivery.
            message: The command.
            digest_of: Returns the digest that the receipt must have, given the command's type and body.

        Raises:
            TimeoutError: The database did not answer for as long as the delivery may be held.
            EventStoreError: The database gave up this request, for example because the statement was cancelled.
        """
        try:
            body = read_body(
                message.body,
                max_bytes=self._settings.worker_max_message_bytes,
                max_depth=self._settings.worker_max_json_depth,
            )
        except BadMessage:
            return None  # what cannot be read was never recorded
        async with asyncio.timeout(max(processing.held_until - time.monotonic(), 1.0)):
            while True:
                era = await self._breaker.closed()
                try:
                    await self._store.append(())
                    return await self._store.receipt(
                        message.command_id,
                        scope=self._topology.domain_name,
                        digest=digest_of(message.command_type, body),
                    )
                except DOWN as error:
                    self._breaker.open(error, era)
                except PermanentError as error:
                    # No request with this id and body can have a receipt.
                    _log.warning("whether the command was answered is unknown: %s", error)
                    return None

    async def _retry(self, processing: Processing, failure: Exception, settlement: Retry) -> None:
        delivery, reason = processing.delivery, settlement.reason
        processing.span.add_event("retry later", {"command.reason": reason})
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
            processing.acknowledge(End.RETRIED, reason)
        elif sent is Sent.REFUSED:
            await self._put_aside(processing, headers)
        else:
            processing.span.end()

    async def _dead_letter(self, processing: Processing, failure: Exception, settlement: DeadLetter) -> None:
        delivery, reason = processing.delivery, settlement.reason
        headers = settlement.history.headers() | explain(
            failure, reason=reason, queue=self._topology.queue, with_traceback=settlement.bug
        )
        mark_failed(processing.span, reason, headers[ERROR_HEADER])
        sent = await self._handover.complete(delivery, self._topology.dead_queue, headers)
        if sent is Sent.REFUSED:
            await self._put_aside(processing, headers)
            return
        if sent is Sent.LOST:
            processing.span.end()
            return
        if settlement.bug and processing.message is not None:
            shown = f"`worker dead-letters show {processing.message.command_id}` shows the traceback"
            where = _where(failure)
            _log.error("dead letter: %s: %s%s %s", reason, where, "" if where.endswith("?") else ";", shown)
        else:
            _log.error("dead letter: %s: %s", reason, text_of(failure))
        self._counters.dead_letters[reason] += 1
        await self._replies.failed(delivery.properties, processing.message, f"{reason}: {headers[ERROR_HEADER]}")
        processing.acknowledge(End.DEAD_LETTERED, reason)

    async def _put_aside(self, processing: Processing, headers: Mapping[str, Any]) -> None:
        """Have the broker dead-letter a message that it accepts no copy of: unchanged, without our headers."""
        delivery = processing.delivery
        reason, said = headers[REASON_HEADER], headers[ERROR_HEADER]
        mark_failed(processing.span, _REFUSED, said)
        _log.error("dead letter: %s, by the broker itself, since it accepts no copy: %s: %s", _REFUSED, reason, said)
        await delivery.reject(End.DEAD_LETTERED)
        self._counters.dead_letters[_REFUSED] += 1
        processing.measure(_REFUSED)
        await self._replies.failed(
            delivery.properties, processing.message, f"{reason} (and the broker accepts no copy of the message): {said}"
        )
        processing.span.end()


def _where(failure: BaseException) -> str:
    """Return the kind of failure and where it was raised, also if that was in another process."""
    return failure.failure.where if isinstance(failure, FailedElsewhere) else whereabouts(failure)
