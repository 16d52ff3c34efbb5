"""The processor: query, decide, append, until the decision holds. Knows nothing of AMQP."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.trace import Span

from eventstore import (
    Append,
    ConcurrencyConflict,
    ConflictError,
    Consistency,
    Event,
    EventStore,
    EventStream,
    HistoryDiverged,
    Position,
    PositionNotReached,
    Receipt,
)
from eventstore.telemetry import child_span
from handlers.decider import Decision
from handlers.domain import Domain
from worker.case import Case
from worker.counters import Counters
from worker.errors import DeadlineExceeded
from worker.group import Place
from worker.lanes import Lanes
from worker.message import CommandMessage
from worker.retry import conflict_retries
from worker.settings import Settings
from worker.spans import current, mark_failed, trace_id_of, tracer
from worker.states import Known, States
from worker.watchdog import Watchdog

__all__ = ["Processed", "Processor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """A command that has its answer.

    Attributes:
        receipt: The answer, as it is on record.
        attempts: How often it was decided now.
    """

    receipt: Receipt
    attempts: int


class Processor:
    """Decides the commands of one domain against a store.

    Every outcome, also "rejected" and "unchanged", is validated on the primary when its receipt is written, so a
    decision from a lagging replica can neither record nor refuse anything wrongly. It costs another attempt, that
    is all.

    Commands that share a predicate take turns: those that wait for one are decided one on top of another, and appended
    in one transaction. Each boundary's state is kept: the next command there reads only what has come since.

    Args:
        store: Where to read, and to record.
        domain: Whose commands to decide.
        settings: The limits of messages, of retries and of kept states.
        counters: Where attempts and conflicts are counted.
        watchdog: Told whenever a domain's code runs.
    """

    def __init__(
        self,
        store: EventStore,
        domain: Domain,
        settings: Settings,
        counters: Counters | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._store = store
        self._domain = domain
        self._settings = settings
        self._counters = counters if counters is not None else Counters()
        self._watchdog = watchdog if watchdog is not None else Watchdog()
        self._states = States(settings.worker_cached_states)
        self._lanes = Lanes(store)

    @property
    def kept_states(self) -> int:
        """How many folded states are kept."""
        return len(self._states)

    def knows(self, command_type: str) -> bool:
        """Whether the domain has a command of that name."""
        return self._domain.has_command(command_type)

    async def process(self, message: CommandMessage) -> Processed:
        """Find the answer to a command and put it on record.

        A command whose id has an answer already gets that one, and nothing is recorded.

        Raises:
            BadMessage: The body can never become a command of this domain.
            IdempotencyKeyReused: The id has an answer to another command.
            ConflictError: Others were faster, each time.
            DeadlineExceeded: It was its turn for longer than the handler deadline.
            EventStoreError: As the store raises it. Processing the message again is safe.
            Exception: Whatever a handler raises.

        On cancellation the answer may already be on record; processing the message again returns it.
        """
        with self._watchdog.running(message.command_type):
            case = Case.open(message, self._domain, self._settings, ticket=self._lanes.ticket())
        try:
            return Processed(receipt=await self._attempt(case, 1, waited=0.0), attempts=1)
        except ConflictError as conflict:
            return await self._attempt_again(case, conflict)

    async def _attempt_again(self, case: Case, conflict: ConflictError) -> Processed:
        """Hand a conflict to tenacity, as the failure of its first attempt.

        The first attempt is made without tenacity: it costs as much as deciding does, and few commands need it.
        """
        waited = 0.0
        async for attempt in conflict_retries(self._settings):
            with attempt:
                number = attempt.retry_state.attempt_number
                if number == 1:
                    raise conflict
                before, waited = waited, attempt.retry_state.idle_for
                return Processed(receipt=await self._attempt(case, number, waited=waited - before), attempts=number)
        raise AssertionError("tenacity returns or raises")

    async def _attempt(self, case: Case, number: int, *, waited: float) -> Receipt:
        with await self._lanes.turn(case.boundary, case.ticket) as place:
            # Within its own turn: those before it in its lane have their own.
            seconds = self._settings.worker_handler_deadline
            limit = asyncio.timeout(seconds)
            try:
                async with limit:
                    return await self._attempt_in_turn(case, place, number, waited=waited)
            except TimeoutError:
                if limit.expired():
                    raise DeadlineExceeded(f"there was no answer within {seconds:g} s") from None
                raise

    async def _attempt_in_turn(self, case: Case, place: Place, number: int, *, waited: float) -> Receipt:
        attempt = child_span(tracer, "attempt", {"command.attempt": number, "command.waited": waited})
        with current(attempt) as span:
            self._counters.attempts += 1
            stream: EventStream | None = None
            try:
                stream, state = await self._read(case, Consistency.EVENTUAL if number == 1 else Consistency.STRONG)
                earlier = await place.earlier()
                state = self._folded(case, state, earlier, stream.position)
                decision = self._decide(case, state, len(stream.events) + len(earlier))
                events, outcome = case.recorded(decision, self._domain, number)
                receipt = await place.append(
                    Append(
                        events=events,
                        boundary=case.boundary,
                        after=stream.position,
                        key=case.message.command_id,
                        digest=case.digest,
                        outcome=outcome,
                        context=get_current(),
                    )
                )
            except ConflictError as conflict:
                if isinstance(conflict, HistoryDiverged):
                    self._states.forget()
                self._note_conflict(span, conflict, stream)
                raise
            if not receipt.duplicate:
                # Up to our own events, the append found nothing else in the boundary than what was folded.
                after = self._folded(case, state, events, stream.position)
                self._states.keep(case.identity, Known(state=after, position=receipt.position))
            return receipt

    async def _read(self, case: Case, consistency: Consistency) -> tuple[EventStream, Any]:
        """Read what has come since the boundary's state was kept, or all of it; return it with the state after it."""
        known = self._states.find(case.identity)
        if known is None:
            stream = await self._store.query(case.boundary, consistency=consistency)
            state = case.decider.initial(case.command)
        else:
            tail = case.boundary.narrowed_above(known.position.number)
            try:
                stream = await self._store.query(tail, consistency=consistency, min_position=known.position)
            except PositionNotReached:
                # A log that ends before what we have seen of it was cut back. The next attempt reads all of it.
                self._states.forget()
                raise
            state = known.state
        self._counters.reads += 1
        self._counters.replica_reads += stream.replica
        with self._watchdog.running(case.message.command_type):
            state = case.decider.fold(state, map(self._domain.recorded, stream.events))
        self._states.keep(case.identity, Known(state=state, position=stream.position))
        return stream, state

    def _folded(self, case: Case, state: Any, events: Sequence[Event], after: Position) -> Any:
        """Fold events that are about to be recorded, as far as the boundary holds them."""
        if not events:
            return state
        recorded = (event.recorded(number, after.token) for number, event in enumerate(events, after.number + 1))
        with self._watchdog.running(case.message.command_type):
            return case.decider.fold(
                state, (self._domain.recorded(event) for event in recorded if case.boundary.holds(event))
            )

    def _decide(self, case: Case, state: Any, events_read: int) -> Decision:
        span = child_span(tracer, f"decide {case.message.command_type}", {"command.events_read": events_read})
        try:
            with self._watchdog.running(case.message.command_type):
                decision = case.decider.decide(case.command, state)
        except Exception as bug:
            span.record_exception(bug)
            mark_failed(span, type(bug).__name__, str(bug))
            raise
        else:
            if span.is_recording():
                span.set_attribute("command.decision", type(decision).__name__.lower())
            return decision
        finally:
            span.end()

    def _note_conflict(self, span: Span, conflict: ConflictError, stream: EventStream | None) -> None:
        self._counters.conflicts += 1
        self._counters.stale_conflicts += stream is not None and stream.replica
        attributes: dict[str, str | int | bool] = {"conflict.kind": type(conflict).__name__}
        if stream is not None:
            attributes["conflict.read_position"] = stream.position.number
            attributes["conflict.read_on_replica"] = stream.replica
        if isinstance(conflict, ConcurrencyConflict):
            attributes["conflict.sequence_number"] = conflict.sequence_number
            attributes["conflict.event_type"] = conflict.event_type
            if isinstance(winner := conflict.metadata.get("command_id"), str):
                attributes["conflict.command_id"] = winner
            if (trace_id := trace_id_of(conflict.metadata.get("traceparent"))) is not None:
                attributes["conflict.trace_id"] = trace_id
        span.add_event("conflict", attributes)
