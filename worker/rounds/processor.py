"""The processor: query, decide, append, until the decision holds. Knows nothing of AMQP."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.trace import Span

from eventstore import (
    Append,
    BoundaryPart,
    ChainBroken,
    ConcurrencyConflict,
    ConflictError,
    Consistency,
    Event,
    EventStore,
    HistoryDiverged,
    Receipt,
    RecordedEvent,
)
from eventstore.telemetry import child_span
from handlers.decider import Decision
from handlers.domain import Domain
from handlers.kept_states import KeptState, KeptStates
from handlers.part import Part
from handlers.part_reader import PartReader, PartsRead
from worker.counters import Counters
from worker.errors import DeadlineExceeded
from worker.message import CommandMessage
from worker.rounds.case import Case
from worker.rounds.group import Place
from worker.rounds.lanes import Lanes
from worker.rounds.retries import conflict_retries
from worker.rounds.watchdog import Watchdog
from worker.settings import Settings
from worker.telemetry.logs import whereabouts
from worker.telemetry.spans import current, mark_failed, trace_id_of, tracer

__all__ = ["Processed", "Processor"]

_log = logging.getLogger(__name__)


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
    in one transaction. The state of each part is kept: the next command that reads it reads only what has come since.

    Args:
        store: Where to read, and to record.
        domain: Whose commands to decide.
        settings: The limits of messages, of retries and of kept states.
        counters: Where attempts and conflicts are counted.
        watchdog: Told whenever a domain's code runs.
        long_reads: Held while a long history is read; the processors of a process share one.
    """

    def __init__(
        self,
        store: EventStore,
        domain: Domain,
        settings: Settings,
        counters: Counters | None = None,
        watchdog: Watchdog | None = None,
        *,
        long_reads: asyncio.Lock | None = None,
    ) -> None:
        self._domain = domain
        self._settings = settings
        self._counters = counters if counters is not None else Counters()
        self._watchdog = watchdog if watchdog is not None else Watchdog()
        self._kept = KeptStates(settings.worker_cached_states, settings.worker_cached_state_bytes)
        self._parts = PartReader(store, domain, self._kept, long_reads=long_reads)
        self._lanes = Lanes(store)

    @property
    def kept_states(self) -> int:
        """How many folded states are kept."""
        return len(self._kept)

    def knows(self, command_type: str) -> bool:
        """Whether the domain has a command of that name."""
        return self._domain.has_command(command_type)

    async def close(self) -> None:
        """End long reads, and wait a little for states that are being stored."""
        await self._parts.close()

    async def process(self, message: CommandMessage) -> Processed:
        """Find the answer to a command and put it on record.

        A command whose id has an answer already gets that one, and nothing is recorded.

        Raises:
            BadMessage: The body can never become a command of this domain.
            InvalidParts: The domain's own code names parts that it cannot.
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
        with await self._lanes.turn((part.filter for part in case.reads.parts), case.ticket) as place:
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
            found: PartsRead | None = None
            try:
                found = await self._read(case, Consistency.EVENTUAL if number == 1 else Consistency.STRONG)
                earlier = await place.earlier()
                on_top = self._on_top(case, found, place, earlier)
                decision = self._decide(case, on_top, found.events + len(earlier))
                events, outcome = case.recorded(decision, self._domain, number)
                receipt = await place.append(
                    Append(
                        events=events,
                        boundary=[
                            BoundaryPart(filter=part.filter, after=kept.position) for part, kept in found.states.items()
                        ]
                        or None,
                        key=case.message.command_id,
                        digest=case.digest,
                        outcome=outcome,
                        context=get_current(),
                    )
                )
            except ConflictError as conflict:
                if isinstance(conflict, HistoryDiverged):
                    self._kept.forget()
                self._note_conflict(span, conflict, found)
                raise
            if not receipt.duplicate:
                self._keep(case, on_top, events, receipt)
            return receipt

    async def _read(self, case: Case, consistency: Consistency) -> PartsRead:
        found = await self._parts.read(
            case.reads.parts,
            consistency=consistency,
            running=partial(self._watchdog.running, case.message.command_type),
        )
        self._counters.reads += 1
        self._counters.replica_reads += found.replica
        return found

    def _on_top(
        self, case: Case, found: PartsRead, place: Place, earlier: Sequence[RecordedEvent]
    ) -> Mapping[Part[Any], KeptState]:
        """Return the states after what those before in the group are going to record.

        Raises:
            ChainBroken: A part counts only from a number on that the log has not reached. Whether an event about to be
                recorded counts cannot be told before it has its number.
        """
        if not earlier:
            return found.states
        if any(part.filter.above > kept.position.number for part, kept in found.states.items()):
            raise ChainBroken("a bound on the number lies above the log, so that it is decided by itself")
        with self._watchdog.running(case.message.command_type):
            return {part: place.overlay.state(part, kept, earlier, self._domain) for part, kept in found.states.items()}

    def _keep(
        self, case: Case, on_top: Mapping[Part[Any], KeptState], events: Sequence[Event], receipt: Receipt
    ) -> None:
        """Keep what the parts have become. The append found nothing in them but what the states are folded from."""
        recorded = [event.recorded(number, 0) for number, event in enumerate(events, receipt.first or 0)]
        for part, kept in on_top.items():
            own = [event for event in recorded if part.filter.holds(event)]
            try:
                with self._watchdog.running(case.message.command_type):
                    self._parts.recorded(part, kept, own, receipt.position)
            except Exception as bug:  # noqa: BLE001  whatever it is, the command has its answer
                # Whoever reads the part next meets it, and it is that one's.
                _log.warning(
                    "%s is on record, and the view %s cannot fold it: %s",
                    case.message.command_type,
                    part.view.name,
                    whereabouts(bug),
                )

    def _decide(self, case: Case, on_top: Mapping[Part[Any], KeptState], events_read: int) -> Decision:
        span = child_span(tracer, f"decide {case.message.command_type}", {"command.events_read": events_read})
        try:
            with self._watchdog.running(case.message.command_type):
                states = {part: kept.state for part, kept in on_top.items()}
                decision = self._domain.decide(case.command, case.reads, states)
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

    def _note_conflict(self, span: Span, conflict: ConflictError, found: PartsRead | None) -> None:
        self._counters.conflicts += 1
        self._counters.stale_conflicts += found is not None and found.replica
        attributes: dict[str, str | int | bool] = {"conflict.kind": type(conflict).__name__}
        if found is not None:
            attributes["conflict.read_position"] = found.position.number
            attributes["conflict.read_on_replica"] = found.replica
        if isinstance(conflict, ConcurrencyConflict):
            attributes["conflict.sequence_number"] = conflict.sequence_number
            attributes["conflict.event_type"] = conflict.event_type
            if isinstance(winner := conflict.metadata.get("command_id"), str):
                attributes["conflict.command_id"] = winner
            if (trace_id := trace_id_of(conflict.metadata.get("traceparent"))) is not None:
                attributes["conflict.trace_id"] = trace_id
        span.add_event("conflict", attributes)
