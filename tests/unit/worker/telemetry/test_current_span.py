"""The current span of a ``with`` and of a decorated function behaves as with ``use_span``."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.unit.worker.telemetry.kept import PLAIN, Kept
from worker.telemetry.noted_tracer import NotedTracer, NotedTracerProvider
from worker.telemetry.sampler import sampler_from_environment


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def tracer(kept: Kept) -> NotedTracer:
    return NotedTracerProvider(kept, sampler=sampler_from_environment(), limits=PLAIN).get_tracer("test")


def fails(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize("error", [ValueError("bad"), asyncio.CancelledError(), GeneratorExit(), None])
@pytest.mark.parametrize(
    "options",
    [{}, {"record_exception": False}, {"set_status_on_exception": False}, {"end_on_exit": False}],
)
def test_an_exception_is_recorded_as_in_the_sdk(
    tracer: NotedTracer, kept: Kept, error: BaseException | None, options: dict[str, Any]
) -> None:
    exporter = InMemorySpanExporter()
    sdk = TracerProvider(shutdown_on_exit=False)
    sdk.add_span_processor(SimpleSpanProcessor(exporter))
    work = fails(error) if error is not None else lambda: None
    for each in (tracer, sdk.get_tracer("test")):
        leaves: AbstractContextManager[object] = nullcontext() if error is None else pytest.raises(type(error))
        with leaves, each.start_as_current_span("work", **options) as span:
            assert trace.get_current_span() is span
            work()
        assert trace.get_current_span() is trace.INVALID_SPAN
    theirs = exporter.get_finished_spans()
    assert len(kept.spans) == len(theirs)
    for mine, their in zip(kept.spans, theirs, strict=True):
        status = mine.status
        assert (status.status_code if status else StatusCode.UNSET) is their.status.status_code
        assert (status.description if status else None) == their.status.description
        assert [event.name for event in mine.events or ()] == [event.name for event in their.events]
    sdk.shutdown()


def test_a_span_is_a_context_manager() -> None:
    kept = Kept()
    tracer = NotedTracerProvider(kept, sampler=sampler_from_environment(), limits=PLAIN).get_tracer("test")
    with pytest.raises(ValueError, match="bad"), tracer.start_span("work"):
        raise ValueError("bad")
    (span,) = kept.spans
    assert span.status is not None
    assert span.status.description == "ValueError: bad"
    assert [event.attributes["exception.escaped"] for event in span.events or ()] == ["True"]


async def test_each_call_of_a_decorated_function_has_a_span(tracer: NotedTracer, kept: Kept) -> None:
    @tracer.start_as_current_span("plain")
    def plain(number: int) -> int:
        return number + 1

    @tracer.start_as_current_span("awaited")
    async def awaited(number: int) -> int:
        before = trace.get_current_span()
        await asyncio.sleep(0)
        assert trace.get_current_span() is before
        return number + plain(number)

    assert tuple(await asyncio.gather(awaited(1), awaited(2))) == (3, 5)
    assert sorted(span.name for span in kept.spans) == ["awaited", "awaited", "plain", "plain"]
    parents = {span.span_id for span in kept.spans if span.name == "awaited"}
    assert {span.parent_id for span in kept.spans if span.name == "plain"} == parents


def test_changes_after_the_end_are_ignored_and_logged(
    tracer: NotedTracer, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    span = tracer.start_span("work", attributes={"a": 1})
    assert span.is_recording()
    span.end(5)
    assert not span.is_recording()
    span.end(6)
    span.set_attribute("a", 2)
    span.set_attributes({"b": 2})
    span.add_event("late")
    span.add_link(span.get_span_context())
    span.update_name("late")
    span.set_status(StatusCode.ERROR)
    span.record_exception(ValueError())
    (ended,) = kept.spans
    assert (ended.name, ended.end_time, ended.attributes) == ("work", 5, {"a": 1})
    assert (ended.events, ended.links, ended.status) == (None, None, None)
    assert len(caplog.messages) == 8


def test_a_list_attribute_is_copied(tracer: NotedTracer, kept: Kept) -> None:
    numbers = [1]
    attributes: dict[str, Any] = {"numbers": numbers, "kept": 1}
    span = tracer.start_span("work", attributes=attributes)
    span.add_event("event", attributes)
    attributes["more"] = 2
    numbers.append(2)
    span.end()
    assert dict(kept.spans[0].attributes) == {"numbers": (1,), "kept": 1}
    assert dict((kept.spans[0].events or [])[0].attributes) == {"numbers": (1,), "kept": 1}
