"""Equal spans, created and encoded by the SDK and by us, are equal messages."""

import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from tests.support.fixtures.clocks import WallClock
from tests.unit.worker.telemetry.kept import PLAIN, Ids, Kept
from worker.telemetry import noted_tracer
from worker.telemetry.noted_span import Limits
from worker.telemetry.noted_tracer import NotedTracerProvider
from worker.telemetry.otlp import Encoder
from worker.telemetry.sampler import ChosenSampler

RESOURCE = Resource({"service.name": "shop", "ports": (1, 2), "up": True}, "https://example.org/schema")


class Ended(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


@dataclass(frozen=True)
class Story:
    """The calls on a span between its start and its end."""

    name: str
    kind: SpanKind
    start: int
    attributes: Any
    links: list[tuple[SpanContext, Any]]
    parent: SpanContext | None
    steps: list[Callable[[Span], None]] = field(repr=True)
    child: bool

    def play(self, tracer: Tracer) -> None:
        context = set_span_in_context(NonRecordingSpan(self.parent), Context()) if self.parent else Context()
        span = tracer.start_span(
            self.name,
            context=context,
            kind=self.kind,
            attributes=self.attributes,
            links=[Link(to, attributes) for to, attributes in self.links],
            start_time=self.start,
        )
        for step in self.steps:
            step(span)
        if self.child:
            tracer.start_span("child", context=set_span_in_context(span, context), start_time=1).end(2)
        span.end(self.start + 5)


def sdk(story: Story, limits: Limits, seed: int) -> ExportTraceServiceRequest:
    ended = Ended()
    provider = TracerProvider(
        ALWAYS_ON,
        RESOURCE,
        shutdown_on_exit=False,
        id_generator=Ids(random.Random(seed).getrandbits),  # noqa: S311  not cryptographic
        span_limits=SpanLimits(
            max_span_attributes=limits.attributes,
            max_span_attribute_length=SpanLimits.UNSET if limits.length is None else limits.length,
            max_events=limits.events,
            max_event_attributes=limits.event_attributes,
            max_links=limits.links,
            max_link_attributes=limits.link_attributes,
            max_attribute_length=SpanLimits.UNSET if limits.other_length is None else limits.other_length,
        ),
    )
    provider.add_span_processor(ended)
    story.play(provider.get_tracer("lib", "1.2", "https://example.org/lib", {"scope": "x"}))
    return encode_spans(ended.spans)


def ours(story: Story, limits: Limits, seed: int) -> ExportTraceServiceRequest:
    sink = Kept()
    provider = NotedTracerProvider(sink, sampler=ChosenSampler(sampler=ALWAYS_ON), limits=limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noted_tracer, "_bits", random.Random(seed).getrandbits)  # noqa: S311  not cryptographic
        story.play(provider.get_tracer("lib", "1.2", "https://example.org/lib", {"scope": "x"}))
    encoder = Encoder(RESOURCE)
    first = encoder.request(sink.spans)
    assert encoder.request(sink.spans) == first  # its cache must not change the result
    read: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(first)
    return read


# Times are given, so that both are equal.
TIMES = st.integers(0, 2**63)
TEXTS = st.text(max_size=200)
KEYS = st.one_of(st.sampled_from(["a", "b", "server.port"]), st.text(max_size=130))
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(2**63, 2**70),
    st.floats(allow_nan=False),
    st.binary(max_size=150),
    st.none(),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=4),
    st.dictionaries(KEYS, SCALARS, max_size=3),
    st.just(object),
    st.lists(st.lists(st.integers(0, 9), max_size=2), max_size=2),
)
ATTRIBUTES = st.one_of(st.none(), st.dictionaries(KEYS, VALUES, max_size=6))
STATES = st.lists(
    st.tuples(st.text(string.ascii_lowercase, min_size=1, max_size=4), st.text(string.ascii_letters, min_size=1)),
    max_size=3,
    unique_by=lambda pair: pair[0],
).map(TraceState)
CONTEXTS = st.builds(
    SpanContext,
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.sampled_from([TraceFlags(flags) for flags in range(4)]),
    STATES,
)
STATUSES = st.builds(Status, st.just(StatusCode.ERROR), st.one_of(st.none(), TEXTS))
STEPS = st.one_of(
    st.builds(lambda key, value: lambda span: span.set_attribute(key, value), KEYS, VALUES),
    st.builds(lambda many: lambda span: span.set_attributes(many or {}), ATTRIBUTES),
    st.builds(lambda name, many, time: lambda span: span.add_event(name, many, time), TEXTS, ATTRIBUTES, TIMES),
    st.builds(lambda to, many: lambda span: span.add_link(to, many), CONTEXTS, ATTRIBUTES),
    st.builds(lambda name: lambda span: span.update_name(name), TEXTS),
    st.builds(lambda status: lambda span: span.set_status(status), STATUSES),
    st.sampled_from([StatusCode.OK, StatusCode.UNSET]).map(lambda code: lambda span: span.set_status(code)),
    st.builds(lambda text: lambda span: span.set_status(StatusCode.ERROR, text), TEXTS),
    st.builds(
        lambda text, many: lambda span: span.record_exception(ValueError(text), many, timestamp=7), TEXTS, ATTRIBUTES
    ),
)
STORIES = st.builds(
    Story,
    name=TEXTS,
    kind=st.sampled_from(SpanKind),
    start=TIMES,
    attributes=ATTRIBUTES,
    links=st.lists(st.tuples(CONTEXTS, ATTRIBUTES), max_size=4),
    parent=st.one_of(st.none(), CONTEXTS.filter(lambda context: context.is_valid)),
    steps=st.lists(STEPS, max_size=10),
    child=st.booleans(),
)
FEW = st.integers(0, 3)
LIMITS = st.one_of(
    st.just(PLAIN),
    st.builds(Limits, FEW, st.one_of(st.none(), FEW), FEW, FEW, FEW, FEW, st.one_of(st.none(), FEW)),
)


@given(STORIES, LIMITS, st.integers(0, 99))
def test_a_span_is_encoded_as_by_the_sdk(story: Story, limits: Limits, seed: int) -> None:
    assert ours(story, limits, seed) == sdk(story, limits, seed)


def test_texts_of_every_length_are_encoded_correctly() -> None:
    # Lengths at which the length prefix grows by a byte.
    lengths = [*range(140), *range(16_370, 16_390)]
    kept = Kept()
    tracer = NotedTracerProvider(kept, sampler=ChosenSampler(sampler=ALWAYS_ON), limits=PLAIN).get_tracer("test")
    for length in lengths:
        tracer.start_span("n" * length, context=Context(), attributes={"key": "x" * length}).end()
    request = ExportTraceServiceRequest.FromString(Encoder(RESOURCE).request(kept.spans))
    spans = request.resource_spans[0].scope_spans[0].spans
    assert [len(span.name) for span in spans] == lengths
    assert [span.attributes[0].value.string_value for span in spans] == ["x" * length for length in lengths]


def test_a_span_ends_no_earlier_than_it_began_though_the_clock_was_set_back(wall_clock: WallClock) -> None:
    sink = Kept()
    tracer = NotedTracerProvider(sink, sampler=ChosenSampler(sampler=ALWAYS_ON), limits=PLAIN).get_tracer("lib")
    span = tracer.start_span("process")
    wall_clock.ahead = timedelta(hours=-1)
    span.end()
    (ended,) = sink.spans
    assert ended.end_time == ended.start_time
