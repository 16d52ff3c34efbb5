"""The model: schedulers of one domain over one hostile store, and the invariants at the end."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from opentelemetry.context import Context

from eventstore import (
    Event,
    IdempotencyKeyReused,
    InvalidRequest,
    PositionNotReached,
    TransientStoreError,
)
from eventstore.backoff import Backoff
from handlers.errors import HandlerCrashed
from tests.unit.worker.rounds.hostile_store import HostileStore, StoreBug
from tests.unit.worker.rounds.model_domain import EPOCH, KINDS, VIEWS, domain
from tests.unit.worker.rounds.model_oracle import Unfoldable, fold, may_raise, wrong_in
from worker.counters import Counters
from worker.message import CommandMessage, digest
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.job import Job
from worker.rounds.retries import ConflictRetries
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer

CODE_FAILS = (HandlerCrashed, LookupError, ArithmeticError)
KEYS, NAMES = (1, 2, 3), ("x", "y")
End = Answer | Exception | None


@dataclass
class Sent:
    """A command, and the end of each of its deliveries."""

    message: CommandMessage
    body: dict[str, Any]
    ends: list[list[End]] = field(default_factory=list)


class Model:
    """One run, determined by its seed.

    Args:
        seed: The seed.
        faults: Whether the store fails.
        failovers: Whether the log sometimes loses its last events.
    """

    def __init__(self, seed: int, *, faults: bool, failovers: bool) -> None:
        self.rnd = Random(seed)  # noqa: S311  a seed reproduces a run
        self.failovers = failovers
        self.counters = Counters()
        self.store = HostileStore(self.rnd, self._strange, faults=faults)
        breaker = CircuitBreaker(lambda: self.store.append(()), backoff=Backoff(first=0.0005, longest=0.001))
        settings = Settings(
            worker_concurrency=self.rnd.randrange(1, 7),
            worker_cached_states=self.rnd.choice((0, 1, 3, 1000)),
            worker_conflict_attempts=self.rnd.choice((2, 3, 100)),
        )
        self.schedulers = [
            Scheduler(self.store, domain, settings, self.counters, breaker=breaker)
            for _ in range(self.rnd.choice((1, 2, 2, 3)))
        ]
        for each in self.schedulers:
            each._attempts._retries = ConflictRetries(longest=0.001)
            each._states._own._most_recorded = self.rnd.choice((2, 5, 1024, 1024))
        self.sent: list[Sent] = []
        self.cuts = 0
        self._ended = asyncio.Event()

    async def run(self, commands: int) -> None:
        """Send the commands, and wait for all of them."""
        try:
            async with asyncio.timeout(60):
                await self._send_all(commands)
                await self.store.settle()
                while self._open():
                    self._ended.clear()
                    await self._ended.wait()
            problems = await self.problems()
        except TimeoutError:
            problems = [f"{self._open()} deliveries wait for ever"]
        finally:
            for each in self.schedulers:
                await each.close()
        assert not problems, "\n".join(problems)

    async def _send_all(self, commands: int) -> None:
        while len(self.sent) < commands:
            for _ in range(self.rnd.choice((1, 1, 3, 8))):
                self._send_one()
            if self.failovers and self.rnd.random() < 0.04:
                self.cuts += 1
                self.store.fail_over()
            for _ in range(self.rnd.choice((0, 1, 4, 12))):
                await asyncio.sleep(0)

    async def problems(self) -> list[str]:
        """Return every violation at the end."""
        log = self.store._log.events
        found = []
        for sent in self.sent:
            stored = await self.store.receipt(sent.message.command_id, scope=domain.name)
            name = f"{sent.message.command_id.int} {sent.body}"
            if stored is not None and self._is_of(sent) and (wrong := wrong_in(stored, sent.body, log)):
                found.append(f"{name}: {wrong}")
            for ends in sent.ends:
                if len(ends) != 1:
                    found.append(f"{name} ended {len(ends)} times: {ends}")
                elif isinstance(ends[0], Answer):
                    same = stored is not None and ends[0].receipt.as_duplicate() == stored.as_duplicate()
                    if not (same or self.cuts):
                        found.append(f"{name} was told {ends[0].receipt}, and on record is {stored}")
                elif not self._may_fail(sent, ends[0]):
                    found.append(f"{name} failed of {ends[0]!r}")
        return found + [problem for each in self.schedulers for problem in self._wrong_states(each)]

    def _is_of(self, sent: Sent) -> bool:
        """Return whether the receipt with its id is this command's, and not another command's with the same id."""
        return self.store._log.receipts[sent.message.command_id, domain.name][0] == digest("Do", sent.body)

    def _may_fail(self, sent: Sent, failure: Exception | None) -> bool:
        own = sent.message.command_id
        return (
            (isinstance(failure, InvalidRequest) and own in self.store.refused)
            or (isinstance(failure, IdempotencyKeyReused) and self._has_double(sent))
            or (isinstance(failure, StoreBug) and self.store.bugs > 0)
            or (isinstance(failure, PositionNotReached) and self.cuts > 0)
            # After three failed locks, the command goes to the retry queue.
            or (isinstance(failure, TransientStoreError) and self.store.faults)
            or (isinstance(failure, CODE_FAILS) and (self.cuts > 0 or may_raise(sent.body, self.store._log.events)))
        )

    def _has_double(self, sent: Sent) -> bool:
        return any(each is not sent and each.message.command_id == sent.message.command_id for each in self.sent)

    def _wrong_states(self, scheduler: Scheduler) -> list[str]:
        found = []
        for part, entry in scheduler._states._entries.items():
            kept = entry.kept
            if kept is None or not self.store._log.is_in_history(kept.position):
                continue
            if not all(self.store._log.is_in_history(own.last) for own in entry.ranges):
                continue
            name = part.view.name
            number = int(part.key[0]) if part.key else 0
            text = str(part.key[1]) if len(part.key) > 1 else ""
            position = kept.position.number
            log = self.store._log.events
            known = [
                e for e in log if e.sequence_number <= position or any(e.sequence_number in own for own in entry.ranges)
            ]
            try:
                at_position, state = fold((name, number, text), log[:position]), fold((name, number, text), known)
            except Unfoldable:
                found.append(f"{part} is kept, and cannot be folded")
                continue
            if (kept.state, entry.state) != (at_position, state):
                found.append(
                    f"{part} at {position} besides {entry.ranges} is kept as {kept.state}, {entry.state}; "
                    f"it is {at_position}, {state}"
                )
        return found

    def _open(self) -> int:
        return sum(not ends for sent in self.sent for ends in sent.ends)

    def _send_one(self) -> None:
        rnd = self.rnd
        if self.sent and rnd.random() < 0.15:
            sent = rnd.choice(self.sent[-12:])
            if rnd.random() < 0.1:
                sent = self._command(sent.message.command_id)
        else:
            sent = self._command(UUID(int=len(self.sent) + 1))
        for _ in range(rnd.choice((1, 1, 1, 2))):
            self._deliver(sent)

    def _deliver(self, sent: Sent) -> None:
        ends: list[End] = []
        sent.ends.append(ends)

        def ended(_: Job, happened: End) -> None:
            ends.append(happened)
            self._ended.set()

        redelivered = len(sent.ends) > 1 and self.rnd.random() < 0.5
        job = Job(sent.message, ended, context=Context(), may_be_recorded=redelivered)
        self.rnd.choice(self.schedulers).submit(job)

    def _command(self, command_id: UUID) -> Sent:
        rnd = self.rnd
        reads = [self._read() for _ in range(rnd.choice((1, 1, 2, 3)))]
        distinct = [list(read) for read in dict.fromkeys(reads)]
        writes = [self._write(distinct) for _ in range(rnd.choice((0, 1, 1, 1, 2, 3)))]
        raises = rnd.choice(("", "", "", "", "error", "exit"))
        body = {"reads": distinct, "writes": writes, "raises": raises}
        text = json.dumps(body).encode()
        message = CommandMessage(
            command_id=command_id,
            command_type="Do",
            body=text,
            correlation_id="model",
            causation_id=str(command_id),
            headers={},
        )
        self.sent.append(Sent(message, body))
        return self.sent[-1]

    def _read(self) -> tuple[str, int, str]:
        rnd = self.rnd
        name = rnd.choice(("key", "key", "key", "type", "both", "since", "until", "brittle"))
        assert name in VIEWS
        number, text = rnd.choice(KEYS), ""
        if name == "type":
            number = 0
        elif name == "both":
            text = rnd.choice(NAMES)
        elif name == "since":
            text = str(max(0, len(self.store._log.events) + rnd.randrange(-6, 6)))
        elif name == "until":
            moment = datetime.now(UTC) - EPOCH + timedelta(milliseconds=rnd.randrange(-30, 30))
            text = str(int(moment.total_seconds() * 1000))
        return name, number, text

    def _write(self, reads: list[list[Any]]) -> list[Any]:
        rnd = self.rnd
        k = rnd.choice(KEYS)
        if rnd.random() < 0.6 and (own := [read[1] for read in reads if read[1]]):
            k = rnd.choice(own)
        return [rnd.choice(tuple(KINDS)), k, rnd.choice(NAMES), self._value()]

    def _value(self) -> int:
        return 13 if self.rnd.random() < 0.004 else self.rnd.randrange(1, 12)

    def _strange(self) -> Event:
        payload = {"k": self.rnd.choice(KEYS), "j": self.rnd.choice(NAMES), "v": self._value(), "seen": 0}
        return Event(type=self.rnd.choice(tuple(KINDS)), payload=payload)
