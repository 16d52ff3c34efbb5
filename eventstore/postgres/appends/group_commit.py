"""Group commit: appends that wait while a batch is in flight become the next batch.

Appends take their turns under one lock, which is held until the commit is on disk. Sent one by one they would pay
one commit each; together they share it.
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

# How often an append is sent again after its connection broke, when its key makes that safe.
_MOST_RESENDS = 3
# So many events of one append count in a batch as another append does.
_EVENTS_AS_ONE = 2


@dataclass(slots=True, eq=False)
class _Unit:
    """What one caller asks: one append; or a chain, which is a batch of its own that nobody else shares."""

    appends: Sequence[Append]
    spans: Sequence[Span]
    chained: bool
    # How often it was sent without an answer: from then on, only a further answer tells whether it happened.
    unanswered: int = 0


class _NotSent(StoreUnavailable):
    """The connection was of no use, and an append was not sent on it."""


class _NoRoom(StoreUnavailable):
    """No partition takes the events; nothing is recorded."""


class GroupCommit(Batcher[_Unit, Sequence[Verdict]]):
    """Gathers appends into batches.

    Args:
        pools: Where batches are sent: to the primary.
        room: Is told how far the log has come.
        telemetry: Traces them.
    """

    def __init__(self, pools: Pools, room: Room, telemetry: Telemetry) -> None:
        super().__init__(pools.primary, "append")
        self._pools = pools
        self._log_room = room
        self._telemetry = telemetry

    async def settle(self, append: Append, span: Span = trace.INVALID_SPAN) -> Verdict:
        """Have one append judged.

        Args:
            append: The append.
            span: Links to each batch that carries it.

        Returns:
            Its verdict; never ``Resend``, which is dealt with here.

        Raises:
            StoreUnavailable: The primary could not be reached, and the append was not sent.
            OutcomeUnknown: It was sent, and no answer came, also not after sending again with its key.
            EventStoreError: The statement failed for this append; nothing is recorded.

        On cancellation an append that was not sent yet is withdrawn. One that was sent goes on by itself: cutting
        its statement short would leave open what happened.
        """
        (verdict,) = await self.ask(_Unit((append,), (span,), chained=False))
        return verdict

    async def settle_chain(
        self, appends: Sequence[Append], spans: Sequence[Span], *, unanswered: int = 0
    ) -> list[AppendAnswer]:
        """Have a chain judged, in a transaction of its own.

        If the server refuses a value of one of its members, its neighbours are judged in parts of the chain, one after
        the other, which still rely on each other.

        Args:
            appends: The chain.
            spans: Those of its members; each links to each batch that carries its append.
            unanswered: How often the chain was sent before without an answer.

        Returns:
            For each member its answer; an error of ``settle`` for one that has none.

        On cancellation it goes on by itself: the later members rely on the earlier ones.
        """
        verdicts = await self.ask(_Unit(appends, spans, chained=True, unanswered=unanswered), is_bound=True)
        return [chain_answer(append, verdict) for append, verdict in zip(appends, verdicts, strict=True)]

    async def send(self, appends: Sequence[Append], *, chained: bool = False) -> list[Verdict]:
        """Send one batch, in one transaction, and read its verdicts, one an append, in order.

        Args:
            appends: The batch.
            chained: Whether they were decided one on top of another.

        Raises:
            StoreUnavailable: The primary could not be reached; nothing was sent.
            OutcomeUnknown: The connection broke before the answer.
            EventStoreError: The statement failed as a whole; nothing is recorded.
        """
        arguments = columns(appends, chained=chained)
        try:
            rows = await self._sent(arguments)
        except _NotSent:
            # The connection had been ended while it rested: a new one is certain to be whole.
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
        # Few appends of many events are a batch as well: whoever has others to send makes them ready meanwhile.
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
        """Answer those who still wait, and need not be sent."""
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
                # It must still be known to have ended.
                waiting.is_bound = True
                self._queue.appendleft(waiting)

    def _failure(self, unit: _Unit, error: Exception) -> EventStoreError:
        if unit.unanswered and not isinstance(error, OutcomeUnknown | InvalidRequest):
            # Whatever failed it now, what was sent before may have happened, unless the server would never take it.
            return OutcomeUnknown(f"an append broke off, and could not be sent again: {error}")
        return super()._failure(unit, error)

    async def _settled(self, chain: _Unit, since: float) -> Sequence[Verdict]:
        """Settle a chain, or a part of one, whatever comes of it."""
        while True:
            try:
                return await self._send_traced(chain.appends, chain.spans, since, chained=True)
            except OutcomeUnknown as error:
                # Whatever was recorded has its receipt: sent again, it is a duplicate, and who relied on it another.
                chain.unanswered += 1
                if chain.unanswered > _MOST_RESENDS:
                    return self._failures(chain, error)
            except InvalidRequest as error:
                if len(chain.appends) == 1:
                    return self._failures(chain, error)
                return await self._settled_in_parts(chain, since)
            except Exception as error:  # noqa: BLE001  whatever it is, every caller must get an answer
                return self._failures(chain, error)

    async def _settled_in_parts(self, chain: _Unit, since: float) -> Sequence[Verdict]:
        """Halve until the append that is refused stands alone: only who relied on it is refused with it."""
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
