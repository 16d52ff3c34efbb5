"""Group commit: appends that wait while a batch is in flight become the next batch.

Appends are serialized by one lock, which is held until the commit is on disk. Sent singly each would pay for a commit;
in a batch they share it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.trace import Span

from eventstore.append import LONGEST_CHAIN, Append
from eventstore.errors import EventStoreError, InvalidRequest, OutcomeUnknown, StoreUnavailable
from eventstore.postgres.appends.batch import AppendAnswer, Resend, Verdict, chain_answer, columns, verdict_of
from eventstore.postgres.appends.chain import having_seen, is_new, own_ranges, unbroken
from eventstore.postgres.appends.neighbours import followed, judged_by_neighbours, late_followers, leaders_of
from eventstore.postgres.appends.room import Room
from eventstore.postgres.batcher import Batcher, Waiting
from eventstore.postgres.connections.confirmation import confirmed
from eventstore.postgres.connections.pools import Pools
from eventstore.postgres.connections.statement_watchdog import watched
from eventstore.postgres.connections.translation import (
    DRIVER_ERRORS,
    READ_ONLY,
    is_connection_loss,
    lacks_partition,
    translate,
)
from eventstore.postgres.connections.turn import Turn
from eventstore.postgres.drivers.errors import sqlstate_of
from eventstore.postgres.drivers.protocol import Row
from eventstore.postgres.statements import statement
from eventstore.telemetry import Telemetry

__all__ = ["GroupCommit"]

# How often an append is sent again after its connection broke, if its key makes that safe.
_MOST_RESENDS = 3
# An append counts in a batch as one for each this many events.
_EVENTS_AS_ONE = 2


@dataclass(slots=True, eq=False)
class _Unit:
    """One caller's request: a single append, or a chain, which is a batch of its own and is not shared."""

    appends: Sequence[Append]
    spans: Sequence[Span]
    chained: bool
    # How often it was sent without an answer. If it is above 0, only an answer can tell whether the append happened.
    unanswered: int = 0


class _NotSent(StoreUnavailable):
    """The connection was unusable, and the append was not sent on it."""


class _NoRoom(StoreUnavailable):
    """No partition takes the events; nothing is recorded."""


class GroupCommit(Batcher[_Unit, Sequence[Verdict]]):
    """Collects appends into batches and sends them to the primary.

    Args:
        pools: The pools of the store; batches go to the primary.
        room: Makes partitions ahead of the log; it gets each new position of the log.
        telemetry: Traces the batches.
    """

    def __init__(self, pools: Pools, room: Room, telemetry: Telemetry) -> None:
        super().__init__(pools.primary, "append")
        self._pools = pools
        self._log_room = room
        self._telemetry = telemetry

    async def settle(self, append: Append, span: Span = trace.INVALID_SPAN) -> Verdict:
        """Have one append checked and recorded.

        Args:
            append: The append.
            span: The append's span; it is linked to each batch that carries the append.

        Returns:
            The verdict; never ``Resend``, which is handled here.

        Raises:
            StoreUnavailable: The primary could not be reached, and the append was not sent.
            OutcomeUnknown: The append was sent, and no answer came, also not after resending it with its key.
            EventStoreError: The statement failed for this append; nothing is recorded.

        If the call is cancelled, an append that was not sent yet is withdrawn. One that was sent continues: cancelling
        its statement would leave unknown what happened.
        """
        (verdict,) = await self.ask(_Unit((append,), (span,), chained=False))
        return verdict

    async def settle_chain(
        self, appends: Sequence[Append], spans: Sequence[Span], *, unanswered: int = 0
    ) -> list[AppendAnswer]:
        """Have a chain checked and recorded, in a transaction of its own.

        If the server refuses a value of a member, the other members are sent in parts of the chain, one after the
        other, which still rely on each other.

        Args:
            appends: The appends, in the order in which they were decided.
            spans: The spans of the appends, in the same order; each is linked to each batch that carries its append.
            unanswered: The number of times that the chain was sent before without an answer; by default 0.

        Returns:
            The answer of each member; for a member without an answer an error, as ``settle`` raises it.

        If the call is cancelled, the chain continues: its later members rely on the earlier ones.
        """
        verdicts = await self.ask(_Unit(appends, spans, chained=True, unanswered=unanswered), is_bound=True)
        return [chain_answer(append, verdict) for append, verdict in zip(appends, verdicts, strict=True)]

    async def send(self, appends: Sequence[Append], *, chained: bool = False) -> list[Verdict]:
        """Send one batch in one transaction, and return the verdict of each append, in order.

        Args:
            appends: The appends of the batch.
            chained: Whether the batch is a chain, decided one on top of another; by default False.

        Raises:
            StoreUnavailable: The primary could not be reached; nothing was sent.
            OutcomeUnknown: The connection broke before the answer.
            EventStoreError: The statement failed as a whole; nothing is recorded.
        """
        arguments = columns(appends, chained=chained)
        try:
            rows = await self._sent(arguments)
        except _NotSent:
            # The connection had ended while it was idle; a new connection is certain to work.
            await self._pools.primary.renew()
            rows = await self._sent(arguments)
        except _NoRoom as error:
            try:
                await self._log_room.make(sum([len(append.events) for append in appends]))
            except EventStoreError as reason:
                raise error from reason
            rows = await self._sent(arguments)
        self._log_room.note(max([row["position"] or 0 for row in rows]))
        return [verdict_of(append, row) for append, row in zip(appends, rows, strict=True)]

    async def _sent(self, arguments: Sequence[object]) -> Sequence[Row]:
        connection = await self._sticky.take()
        schema, turn = self._pools.primary.schema, Turn()
        try:
            async with watched(connection, self._pools.primary):
                with confirmed(connection), turn:
                    rows = await connection.fetch(schema.render(statement("append")), *arguments)
        except DRIVER_ERRORS as error:
            await self._sticky.drop()
            if is_connection_loss(error):
                if not turn.over:
                    raise _NotSent(f"PostgreSQL cannot be reached: {error}") from error
                raise OutcomeUnknown("the connection broke while an append was under way") from error
            if sqlstate_of(error) == READ_ONLY:
                await self._pools.forget_primary()
            translated = translate(error, schema)
            if lacks_partition(error):
                raise _NoRoom(str(translated), code=translated.code) from error
            raise translated from error
        except BaseException:
            await self._sticky.drop()
            raise
        await self._sticky.rest()
        return rows

    def _weigh(self, unit: _Unit) -> tuple[int, int]:
        if unit.chained:
            return LONGEST_CHAIN, 0
        append = unit.appends[0]
        # A few appends of many events fill a batch as well: the callers of others can prepare theirs in the meantime.
        return max(1, len(append.events) // _EVENTS_AS_ONE), append.size

    async def _answer(self, batch: Sequence[Waiting[_Unit, Sequence[Verdict]]]) -> Sequence[Sequence[Verdict] | None]:
        if batch[0].question.chained:
            return [await self._settled(batch[0].question, batch[0].since)]
        units = [waiting.question for waiting in batch]
        appends = [unit.appends[0] for unit in units]
        leaders = list(leaders_of(appends))
        sent = sorted(set(leaders))
        found = await self._send_traced(
            [appends[place] for place in sent],
            [units[place].spans[0] for place in sent],
            min([waiting.since for waiting in batch]),
        )
        answered = dict(zip(sent, found, strict=True))
        waiting = [each for each in self._queue if not each.question.chained]
        followers = late_followers(appends, [each.question.appends[0] for each in waiting])
        late = [waiting[place] for place in followers]
        appends += [each.question.appends[0] for each in late]
        leaders += followers.values()
        verdicts = [
            answered[leader] if leader == place else followed(answered[leader]) for place, leader in enumerate(leaders)
        ]
        judged = judged_by_neighbours(appends, verdicts)
        answers = [None if isinstance(verdict, Resend) else (verdict,) for verdict in judged]
        self._tell(late, answers[len(batch) :])
        return answers[: len(batch)]

    def _tell(
        self, late: Sequence[Waiting[_Unit, Sequence[Verdict]]], answers: Sequence[Sequence[Verdict] | None]
    ) -> None:
        """Answer waiting appends whose verdict is known without sending them."""
        for waiting, answer in zip(late, answers, strict=True):
            if answer is not None:
                self._queue.remove(waiting)
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    def _refuse(self, batch: Sequence[Waiting[_Unit, Sequence[Verdict]]], error: Exception) -> None:
        if not isinstance(error, OutcomeUnknown):
            super()._refuse(batch, error)
            return
        for waiting in reversed(batch):
            unit = waiting.question
            unit.unanswered += 1
            if unit.appends[0].key is None or unit.unanswered > _MOST_RESENDS:
                super()._refuse([waiting], error)
            else:
                # It must be sent to the end even if its caller is cancelled: the outcome has to become known.
                waiting.is_bound = True
                self._queue.appendleft(waiting)

    def _failure(self, unit: _Unit, error: Exception) -> EventStoreError:
        if unit.unanswered and not isinstance(error, OutcomeUnknown | InvalidRequest):
            # Whatever this error is, an earlier attempt may have been committed, unless the server refuses the request
            # itself.
            return OutcomeUnknown(f"an append was interrupted, and could not be sent again: {error}")
        return super()._failure(unit, error)

    async def _settled(self, chain: _Unit, since: float) -> Sequence[Verdict]:
        """Send a chain, or a part of one, and return a verdict for each member whatever fails."""
        while True:
            try:
                return await self._send_traced(chain.appends, chain.spans, since, chained=True)
            except OutcomeUnknown as error:
                # Recorded members have receipts: sent again, they are duplicates, and so are the members that relied on
                # them.
                chain.unanswered += 1
                if chain.unanswered > _MOST_RESENDS:
                    return self._failures(chain, error)
            except InvalidRequest as error:
                if len(chain.appends) == 1:
                    return self._failures(chain, error)
                return await self._settled_in_parts(chain, since)
            except Exception as error:  # noqa: BLE001  every caller must get an answer, whatever the error
                return self._failures(chain, error)

    async def _settled_in_parts(self, chain: _Unit, since: float) -> Sequence[Verdict]:
        """Halve the chain until the refused append is alone: only members that relied on it are refused with it."""
        middle = len(chain.appends) // 2
        earlier = _Unit(chain.appends[:middle], chain.spans[:middle], chained=True, unanswered=chain.unanswered)
        verdicts = list(await self._settled(earlier, since))
        missing = [append for append, verdict in zip(earlier.appends, verdicts, strict=True) if not is_new(verdict)]
        later, spans = chain.appends[middle:], chain.spans[middle:]
        found: list[Verdict | None] = list(unbroken(missing, later))
        rest = [place for place, verdict in enumerate(found) if verdict is None]
        if rest:
            own = own_ranges(verdicts)
            unit = _Unit(
                [having_seen(later[place], own) for place in rest],
                [spans[place] for place in rest],
                chained=True,
                unanswered=chain.unanswered,
            )
            for place, verdict in zip(rest, await self._settled(unit, since), strict=True):
                found[place] = verdict
        return [*verdicts, *(verdict for verdict in found if verdict is not None)]

    def _failures(self, chain: _Unit, error: Exception) -> Sequence[Verdict]:
        failure = self._failure(chain, error)
        return [failure.copy_for_caller() for _ in chain.appends]

    async def _send_traced(
        self, appends: Sequence[Append], spans: Sequence[Span], since: float, *, chained: bool = False
    ) -> list[Verdict]:
        self._note_sending(len(appends), since)
        with self._telemetry.sent(spans, sum([len(append.events) for append in appends])):
            return await self.send(appends, chained=chained)
