"""Group commit: appends that wait while a batch is in flight become the next batch.

Appends take their turns under one lock, which is held until the commit is on disk. Sent one by one they would pay
one commit each; together they share it. There is no timer: an idle store sends at once, a busy one batches by itself.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import asyncpg
from opentelemetry import trace
from opentelemetry.trace import Span

from eventstore.boundary import OwnRange
from eventstore.errors import ChainBroken, EventStoreError, InvalidRequest, OutcomeUnknown, StoreUnavailable
from eventstore.metrics import batch_size, queue_wait
from eventstore.postgres.batch import Resend, Verdict, columns, verdict_of
from eventstore.postgres.chain import having_seen, is_new, own_range, unbroken
from eventstore.postgres.line import Line
from eventstore.postgres.pools import Pools
from eventstore.postgres.silence import watched
from eventstore.postgres.statements import statement
from eventstore.postgres.translation import DRIVER_ERRORS, READ_ONLY, is_connection_loss, translate
from eventstore.postgres.turn import Turn
from eventstore.request import AppendRequest
from eventstore.telemetry import Telemetry

__all__ = ["GroupCommit"]

# The most requests and bytes of events in one batch: enough to share a commit widely, little enough that the
# lock is not held long by one process.
_LARGEST_BATCH = 128
_LARGEST_BATCH_BYTES = 1_000_000
# How many requests are queued or under way at once: eight batches. Whoever comes then waits outside, in turn. A chain,
# which is a batch, counts as one.
_MOST_WAITING = 1024
# How often an append is sent again after its connection broke, when its key makes that safe.
_MOST_RESENDS = 3
_APPEND = {"operation": "append"}


@dataclass(slots=True, eq=False)
class _Waiting:
    request: AppendRequest
    verdict: asyncio.Future[Verdict]
    span: Span
    since: float = field(default_factory=perf_counter)
    # How often it was sent without an answer: from then on, only a further answer tells whether it happened.
    unanswered: int = field(default=0)
    # Whether it was recorded, and not before.
    recorded: bool = field(default=False)


@dataclass(slots=True, eq=False)
class _Chain:
    """Appends that were decided one on top of another. They are a statement of their own: nobody else shares it."""

    members: list[_Waiting]


class _NotSent(StoreUnavailable):
    """The connection was of no use, and an append was not sent on it."""


class GroupCommit:
    """Gathers append requests into batches, with one batch in flight at a time.

    Args:
        pools: Where batches are sent: to the primary.
        telemetry: Traces them.
    """

    def __init__(self, pools: Pools, telemetry: Telemetry) -> None:
        self._pools = pools
        self._telemetry = telemetry
        self._line = Line(pools.primary)
        self._room = asyncio.Semaphore(_MOST_WAITING)
        self._queue: deque[_Waiting | _Chain] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def settle(self, request: AppendRequest, span: Span = trace.INVALID_SPAN) -> Verdict:
        """Have one request judged. While very many wait, its caller waits before it does.

        Args:
            request: That.
            span: Links to each batch that carries it.

        Returns:
            Its verdict; never ``Resend``, which is dealt with here.

        Raises:
            StoreUnavailable: The primary could not be reached, and the request was not sent.
            OutcomeUnknown: It was sent, and no answer came, also not after sending again with its key.
            EventStoreError: The statement failed for this request; nothing is recorded.

        On cancellation a request that was not sent yet is withdrawn. One that was sent goes on by itself: cutting
        its statement short would leave open what happened.
        """
        async with self._room:
            waiting = self._queued(request, span)
            try:
                return await waiting.verdict
            except asyncio.CancelledError:
                # While nothing is answered, those that were given up must not pile up in the queue.
                if waiting.unanswered == 0 and waiting in self._queue:
                    self._queue.remove(waiting)
                raise

    async def settle_chain(
        self, requests: Sequence[AppendRequest], spans: Sequence[Span], *, unanswered: int = 0
    ) -> list[Verdict]:
        """Have the requests of one chain judged, in a transaction of their own.

        If the server refuses a value of one of them, its neighbours are judged in parts of the chain, one after the
        other, which still rely on each other.

        Args:
            requests: The chain.
            spans: Those of its members; each links to each batch that carries its request.
            unanswered: How often the chain was sent before without an answer.

        Returns:
            Their verdicts; an error of ``settle`` in place of one that has none.

        On cancellation it goes on by itself: the later members rely on the earlier ones.
        """
        async with self._room:
            loop = asyncio.get_running_loop()
            members = [
                _Waiting(request, loop.create_future(), span, unanswered=unanswered)
                for request, span in zip(requests, spans, strict=True)
            ]
            self._enqueue(_Chain(members))
            found = await asyncio.gather(*(member.verdict for member in members), return_exceptions=True)
        return [verdict if not isinstance(verdict, BaseException) else _told(verdict) for verdict in found]

    def _queued(self, request: AppendRequest, span: Span) -> _Waiting:
        waiting = _Waiting(request, asyncio.get_running_loop().create_future(), span)
        self._enqueue(waiting)
        return waiting

    def _enqueue(self, unit: "_Waiting | _Chain") -> None:
        self._queue.append(unit)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())

    async def send(self, requests: Sequence[AppendRequest], *, chained: bool = False) -> list[Verdict]:
        """Send one batch, in one transaction, and read its verdicts, one a request, in order.

        Args:
            requests: The batch.
            chained: Whether they were decided one on top of another.

        Raises:
            StoreUnavailable: The primary could not be reached; nothing was sent.
            OutcomeUnknown: The connection broke before the answer.
            EventStoreError: The statement failed as a whole; nothing is recorded.
        """
        arguments = columns(requests, chained=chained)
        try:
            rows = await self._sent(arguments)
        except _NotSent:
            # The connection had been ended while it rested: a new one is certain to be whole.
            await self._pools.primary.renew()
            rows = await self._sent(arguments)
        return [verdict_of(request, row, chained=chained) for request, row in zip(requests, rows, strict=True)]

    async def _sent(self, arguments: Sequence[object]) -> "list[asyncpg.Record]":
        connection = await self._line.take()
        turn = Turn()
        try:
            async with watched(connection, self._pools.primary):
                with turn:
                    rows = await connection.fetch(statement("append"), *arguments)
        except DRIVER_ERRORS as error:
            await self._line.drop()
            if is_connection_loss(error):
                if not turn.over:
                    raise _NotSent(f"PostgreSQL cannot be reached: {error}") from error
                raise OutcomeUnknown("the connection broke while an append was under way") from error
            if getattr(error, "sqlstate", None) == READ_ONLY:
                await self._pools.forget_primary()
            raise translate(error) from error
        except BaseException:
            await self._line.drop()
            raise
        await self._line.rest()
        return rows

    async def close(self) -> None:
        """Wait until every batch has its answer, also those that outlived their callers."""
        while self._sender is not None:
            await asyncio.wait([self._sender])
        await self._line.drop()

    async def _send_all(self) -> None:
        try:
            while self._queue:
                if isinstance(chain := self._queue[0], _Chain):
                    self._queue.popleft()
                    await self._settle_chain(chain.members)
                elif batch := self._next_batch():
                    await self._settle_batch(batch)
        finally:
            self._sender = None

    def _next_batch(self) -> list[_Waiting]:
        """Take the next requests from the queue, up to the next chain; none if their callers are gone."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < _LARGEST_BATCH:
            waiting = self._queue[0]
            if isinstance(waiting, _Chain):
                break
            size += waiting.request.size
            if batch and size > _LARGEST_BATCH_BYTES:
                break
            self._queue.popleft()
            # One that was sent before must still be known to have ended.
            if not waiting.verdict.cancelled() or waiting.unanswered:
                batch.append(waiting)
        return batch

    async def _settle_batch(self, batch: list[_Waiting]) -> None:
        try:
            verdicts = await self._send_traced(batch)
        except OutcomeUnknown as error:
            self._send_again(batch, error)
        except InvalidRequest as error:
            await self._split(batch, error)
        except Exception as error:  # noqa: BLE001  whatever it is, every caller must get an answer
            _fail_all(batch, error)
        else:
            again = []
            for waiting, verdict in zip(batch, verdicts, strict=True):
                if isinstance(verdict, Resend):
                    again.append(waiting)
                elif not waiting.verdict.done():
                    waiting.verdict.set_result(verdict)
            # At the front of the queue, in the order in which they came.
            self._queue.extendleft(reversed(again))

    async def _split(self, batch: list[_Waiting], error: InvalidRequest) -> None:
        """Halve until the request that is refused stands alone: it must not fail its neighbours."""
        if len(batch) == 1:
            _fail(batch[0], error)
            return
        middle = len(batch) // 2
        for part in (batch[:middle], batch[middle:]):
            await self._settle_batch(part)

    async def _settle_chain(self, chain: Sequence[_Waiting]) -> list[OwnRange]:
        """Settle a chain, or a part of one, and return the ranges that were recorded for it."""
        while True:
            try:
                verdicts = await self._send_traced(chain, chained=True)
            except OutcomeUnknown as error:
                # Whatever was recorded has its receipt: sent again, it is a duplicate, and who relied on it another.
                for waiting in chain:
                    waiting.unanswered += 1
                if chain[0].unanswered > _MOST_RESENDS:
                    _fail_all(chain, error)
                    return []
            except InvalidRequest as error:
                return await self._split_chain(chain, error)
            except Exception as error:  # noqa: BLE001  whatever it is, every caller must get an answer
                _fail_all(chain, error)
                return []
            else:
                for waiting, verdict in zip(chain, verdicts, strict=True):
                    waiting.recorded = is_new(verdict)
                    if not waiting.verdict.done():
                        waiting.verdict.set_result(verdict)
                return own_range(verdicts)

    async def _split_chain(self, chain: Sequence[_Waiting], error: InvalidRequest) -> list[OwnRange]:
        """Halve until the request that is refused stands alone: only who relied on it is refused with it."""
        if len(chain) == 1:
            _fail(chain[0], error)
            return []
        middle = len(chain) // 2
        own = await self._settle_chain(chain[:middle])
        missing = [waiting.request for waiting in chain[:middle] if not waiting.recorded]
        later = chain[middle:]
        rest = []
        for waiting, passes in zip(later, unbroken(missing, [each.request for each in later]), strict=True):
            if passes:
                waiting.request = having_seen(waiting.request, own)
                rest.append(waiting)
            else:
                _fail(waiting, ChainBroken("an earlier append that this one was decided on was not recorded"))
        return own + (await self._settle_chain(rest) if rest else [])

    async def _send_traced(self, batch: Sequence[_Waiting], *, chained: bool = False) -> list[Verdict]:
        batch_size.record(len(batch), _APPEND)
        queue_wait.record(perf_counter() - min(waiting.since for waiting in batch), _APPEND)
        events = sum(len(waiting.request.events) for waiting in batch)
        with self._telemetry.sent([waiting.span for waiting in batch], events):
            return await self.send([waiting.request for waiting in batch], chained=chained)

    def _send_again(self, batch: list[_Waiting], error: OutcomeUnknown) -> None:
        for waiting in reversed(batch):
            waiting.unanswered += 1
            if waiting.request.key is None or waiting.unanswered > _MOST_RESENDS:
                _fail(waiting, error)
            else:
                self._queue.appendleft(waiting)


def _told(error: BaseException) -> EventStoreError:
    """Return an error that a request failed with; raise what is none, such as a cancellation."""
    if isinstance(error, EventStoreError):
        return error
    raise error


def _fail_all(waiting: Iterable[_Waiting], error: Exception) -> None:
    for each in waiting:
        _fail(each, error)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if waiting.verdict.done():
        return
    if waiting.unanswered and not isinstance(error, OutcomeUnknown | InvalidRequest):
        # Whatever failed it now, what was sent before may have happened; unless the server would take it at no time.
        error = OutcomeUnknown(f"an append broke off, and could not be sent again: {error}")
    elif not isinstance(error, EventStoreError):
        error = EventStoreError(f"an append failed unexpectedly: {error!r}")
    waiting.verdict.set_exception(error.copy_for_caller())
