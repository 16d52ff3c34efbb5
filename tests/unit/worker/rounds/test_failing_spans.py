"""Span processors of a program that raise: every command is still answered."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

from eventstore import Held, LockNotAcquired, MemoryEventStore
from tests.support.domains.tally import domain
from tests.unit.worker.staged import StagedStore, command, intruder
from worker.rounds import job_spans
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings


class Raising(SpanProcessor):
    """Raises at the start or end of a span with this beginning of its name."""

    def __init__(self, moment: str, name: str) -> None:
        self.moment, self.name = moment, name
        self.raised = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  the SDK's signature
        self._raise("start", span.name)

    def on_end(self, span: ReadableSpan) -> None:
        self._raise("end", span.name)

    def _raise(self, moment: str, name: str) -> None:
        if moment == self.moment and name.startswith(self.name):
            self.raised += 1
            raise RuntimeError(f"{moment} {name}")


@pytest.fixture(params=[("start", "attempt"), ("end", "attempt"), ("start", "decide"), ("end", "decide")])
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Raising]:
    processor = Raising(*request.param)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    monkeypatch.setattr(job_spans, "tracer", provider.get_tracer("of the test"))
    yield processor
    provider.shutdown()


async def test_commands_are_decided_though_a_span_processor_raises_while_the_lock_is_not_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processor, provider, store = Raising("end", "none"), TracerProvider(), StagedStore()
    provider.add_span_processor(processor)
    monkeypatch.setattr(job_spans, "tracer", provider.get_tracer("of the test"))
    genuine = store.exclusive

    @asynccontextmanager
    async def refused(**_: float) -> AsyncIterator[Held]:
        processor.name = "attempt"
        monkeypatch.setattr(store, "exclusive", genuine)
        raise LockNotAcquired("others have it")
        yield

    monkeypatch.setattr(store, "exclusive", refused)
    scheduler = Scheduler(store, domain, Settings(worker_conflict_attempts=1))
    store.after_query = [intruder(store)]
    async with asyncio.timeout(60):
        loser = await scheduler.process(command("Count", Key="a"))
        after = await scheduler.process(command("Count", Key="b"))
    assert (loser.receipt.first, after.receipt.first) == (2, 3)
    assert processor.raised == 3
    await scheduler.close()
    provider.shutdown()


async def test_a_raising_span_processor_leaves_no_command_without_an_end(processor: Raising) -> None:
    scheduler = Scheduler(MemoryEventStore(), domain, Settings())
    async with asyncio.timeout(60):
        ended = await asyncio.gather(
            *(scheduler.process(command("Count", Key="a")) for _ in range(3)), return_exceptions=True
        )
        assert processor.raised == 3
        # Later commands are decided.
        processor.name = "none"
        after = await scheduler.process(command("Count", Key="a"))
    recorded = after.receipt.first
    assert recorded is not None
    assert [end for end in ended if isinstance(end, Exception) and not isinstance(end, RuntimeError)] == []
    await scheduler.close()
