"""Commands whose receipts a failover loses between their look-up and their append."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.context import Context

from eventstore import MemoryEventStore, Receipt
from eventstore.backoff import Backoff
from tests.unit.worker.rounds.model_domain import domain
from tests.unit.worker.rounds.model_oracle import wrong_in
from worker.counters import Counters
from worker.message import CommandMessage
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.job import Job
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer

FIRST, SECOND = UUID(int=1), UUID(int=2)


class ForgetfulStore(MemoryEventStore):
    """Fails over to a standby without any event, right after it has looked up receipts."""

    async def receipts(self, keys: Sequence[UUID], *, scope: str = "") -> dict[UUID, Receipt]:
        found = await super().receipts(keys, scope=scope)
        self._log.events = []
        self._log.receipts = {}
        return found


async def _decided(store: MemoryEventStore, bodies: dict[UUID, dict[str, Any]], *, redelivered: bool) -> None:
    breaker = CircuitBreaker(lambda: store.append(()), backoff=Backoff(first=0.0005, longest=0.001))
    scheduler = Scheduler(store, domain, Settings(), Counters(), breaker=breaker)
    waiting, done = len(bodies), asyncio.Event()

    def ended(_: Job, happened: object) -> None:
        nonlocal waiting
        assert isinstance(happened, Answer)
        waiting -= 1
        if not waiting:
            done.set()

    try:
        for command_id, body in bodies.items():
            message = CommandMessage(
                command_id=command_id,
                command_type="Do",
                body=json.dumps(body).encode(),
                correlation_id="c",
                causation_id="c",
                headers={},
            )
            scheduler.submit(Job(message, ended, context=Context(), may_be_recorded=redelivered))
        await asyncio.wait_for(done.wait(), 60)
    finally:
        await scheduler.close()


@pytest.mark.parametrize("value", range(1, 11))
async def test_of_two_that_meet_the_second_is_decided_on_what_the_first_records_anew(value: int) -> None:
    bodies: dict[UUID, dict[str, Any]] = {
        FIRST: {"reads": [["key", 1, ""]], "writes": [["Moved", 2, "x", value]], "raises": ""},
        SECOND: {"reads": [["key", 2, ""]], "writes": [["Moved", 2, "y", 3]], "raises": ""},
    }
    store = ForgetfulStore()
    await _decided(store, bodies, redelivered=False)
    await _decided(store, bodies, redelivered=True)
    log = store._log
    for command_id, body in bodies.items():
        (_, receipt) = log.receipts[command_id, domain.name]
        assert wrong_in(receipt, body, log.events) is None
