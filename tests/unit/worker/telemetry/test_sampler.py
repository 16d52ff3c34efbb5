"""Sampling: the same spans are recorded as by the SDK's provider with the same variables, for every parent."""

import random
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, Tracer, TraceState, set_span_in_context

from tests.unit.worker.telemetry.kept import PLAIN, Ids, Kept
from worker.errors import SettingsError
from worker.telemetry import noted_tracer, sampler
from worker.telemetry.noted_span import NotedSpan
from worker.telemetry.noted_tracer import NotedTracerProvider
from worker.telemetry.sampler import sampler_from_environment

STATE = TraceState([("a", "b")])
PARENTS = [None] + [
    SpanContext(trace_id, 7, is_remote=is_remote, trace_flags=TraceFlags(flags), trace_state=STATE)
    for trace_id in (1, 2**64 - 1)
    for is_remote in (True, False)
    for flags in range(4)
]


def below(parent: SpanContext | Span | None) -> Context:
    if parent is None:
        return Context()
    return set_span_in_context(NonRecordingSpan(parent) if isinstance(parent, SpanContext) else parent, Context())


def decided(tracer: Tracer) -> list[tuple[bool, int, TraceFlags, TraceState]]:
    """Start a span below every kind of parent, and a child of it; return the decisions on both."""
    made = []
    for parent in PARENTS:
        first = tracer.start_span("first", context=below(parent))
        second = tracer.start_span("second", context=below(first))
        made += [first, second]
    return [
        (
            span.is_recording(),
            span.get_span_context().trace_id,
            span.get_span_context().trace_flags,
            span.get_span_context().trace_state,
        )
        for span in made
    ]


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("always_on", None),
        ("always_off", None),
        ("parentbased_always_on", None),
        ("parentbased_always_off", None),
        ("traceidratio", "0.5"),
        ("traceidratio", "0"),
        ("traceidratio", None),
        ("parentbased_traceidratio", "0.5"),
        ("parentbased_traceidratio", "0"),
        ("parentbased_traceidratio", "1"),
        ("Parentbased_TraceIdRatio", "0.1"),
        (None, None),
    ],
)
def test_every_standard_sampler_decides_as_in_the_sdk(
    name: str | None, argument: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)):
        if value is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, value)
    # Only a root's trace id affects decisions, and it is drawn first.
    theirs = TracerProvider(shutdown_on_exit=False, id_generator=Ids(random.Random(3).getrandbits))  # noqa: S311  not cryptographic
    expected = decided(theirs.get_tracer("test"))
    monkeypatch.setattr(noted_tracer, "_bits", random.Random(3).getrandbits)  # noqa: S311  not cryptographic
    ours = NotedTracerProvider(Kept(), sampler=sampler_from_environment(), limits=PLAIN)
    assert decided(ours.get_tracer("test")) == expected


class RecordsOnly(Sampler):
    """A package's sampler: records without sampling, and changes the trace state."""

    def __init__(self, argument: str | None) -> None:
        self.argument = argument

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:  # noqa: ARG002  its answer is always the same
        return SamplingResult(Decision.RECORD_ONLY, {"asked": self.argument or ""}, STATE)

    def get_description(self) -> str:
        return "RecordsOnly"


def test_a_packages_sampler_is_called_for_every_span(monkeypatch: pytest.MonkeyPatch) -> None:
    class Package(EntryPoint):
        def load(self) -> Any:
            return RecordsOnly

    found = (Package("mine", "package:sampler", "opentelemetry_traces_sampler"),)
    monkeypatch.setattr(sampler, "entry_points", lambda **asked: found if asked["name"] == "mine" else ())
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "mine")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "well")
    kept = Kept()
    tracer = NotedTracerProvider(kept, sampler=sampler_from_environment(), limits=PLAIN).get_tracer("test")
    parent = tracer.start_span("parent", context=Context())
    child = tracer.start_span("child", context=below(parent), attributes={"asked": "nobody"})
    assert isinstance(child, NotedSpan)
    assert child.attributes == {"asked": "well"}
    assert child.get_span_context().trace_state == STATE
    assert not child.get_span_context().trace_flags.sampled
    child.end()
    parent.end()
    assert kept.spans == []  # recorded, but not sampled: not exported


@pytest.mark.parametrize(
    ("name", "argument", "complaint"),
    [
        ("sometimes", "", "OTEL_TRACES_SAMPLER must be one of always_off, .*, not 'sometimes'"),
        ("traceidratio", "half", "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not 'half'"),
        ("parentbased_traceidratio", "5", "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not '5'"),
        ("parentbased_traceidratio", "nan", "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not 'nan'"),
    ],
)
def test_an_invalid_sampler_is_named(name: str, argument: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    with pytest.raises(SettingsError, match=complaint):
        sampler_from_environment()
