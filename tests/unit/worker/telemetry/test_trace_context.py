"""Trace context in headers: our fast path reads and writes the same as the propagators."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from worker.telemetry.trace_context import extracted, injected, remote_span

HEX = st.text("0123456789abcdef", min_size=1, max_size=33)
TRACEPARENTS = st.one_of(
    st.builds(
        "{}-{:032x}-{:016x}-{:02x}".format,
        st.sampled_from(["00", "01", "ff", "0"]),
        st.integers(0, 2**128 - 1),
        st.integers(0, 2**64 - 1),
        st.integers(0, 255),
    ),
    st.builds("00-{}-{}-{}".format, HEX, HEX, HEX),
    st.builds(
        "{}00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01{}".format,
        st.sampled_from(["", " ", "\t", "x"]),
        st.sampled_from(["", " ", "-x", "\n", "\n\n"]),
    ),
    st.just("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"),
    st.text(max_size=60),
)
HEADERS = st.fixed_dictionaries(
    {"x-delivery-count": st.integers(0, 3)},
    optional={
        "traceparent": st.one_of(TRACEPARENTS, st.integers(), st.none()),
        "tracestate": st.sampled_from(["a=b", "a=b,c=d", "?", ""]),
        "baggage": st.sampled_from(["who=me", "", "?"]),
    },
)


def facts(read: Context) -> tuple[Any, ...]:
    span = trace.get_current_span(read).get_span_context()
    return (*span[:4], dict(span.trace_state), dict(baggage.get_all(read)))


@settings(max_examples=300)
@given(HEADERS)
def test_headers_are_read_as_the_propagators_read_them(headers: dict[str, Any]) -> None:
    texts = {key: value for key, value in headers.items() if isinstance(value, str)}
    assert facts(extracted(headers)) == facts(propagate.extract(texts))


def test_common_headers_need_no_propagator() -> None:
    span = remote_span({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    assert span is not None
    assert span.get_span_context().is_remote
    assert remote_span({}) is None


@given(
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 3),
    st.sampled_from([TraceState(), TraceState([("a", "b")])]),
    st.booleans(),
)
def test_headers_are_written_as_the_propagators_write_them(
    trace_id: int,
    span_id: int,
    flags: int,
    state: TraceState,
    with_baggage: bool,  # noqa: FBT001  a parametrised case
) -> None:
    span = NonRecordingSpan(
        SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(flags), trace_state=state)
    )
    now = trace.set_span_in_context(span, Context())
    if with_baggage:
        now = baggage.set_baggage("who", "me", now)
    expected: dict[str, Any] = {"kept": 1}
    propagate.inject(expected, now)
    token = context.attach(now)
    try:
        assert injected({"kept": 1}) == expected
    finally:
        context.detach(token)


def test_other_propagators_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", CompositePropagator([]))
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    assert remote_span(headers) is None
    assert facts(extracted(headers)) == facts(Context())
