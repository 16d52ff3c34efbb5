"""The tracer and its provider, as in the OpenTelemetry API: spans are recorded here, and exported by a queue."""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from threading import Lock
from time import time_ns
from typing import Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    TracerProvider,
    TraceState,
    get_current_span,
)
from opentelemetry.util.types import Attributes

from worker.telemetry.current_span import CurrentSpan
from worker.telemetry.noted_span import Limits, NotedSpan, noted
from worker.telemetry.sampler import ChosenSampler

__all__ = ["NotedTracer", "NotedTracerProvider", "SpanSink"]

_SAMPLED, _RANDOM = int(TraceFlags.SAMPLED), int(TraceFlags.RANDOM_TRACE_ID)
_NO_STATE = TraceState()
_ROOT = trace.INVALID_SPAN_ID
_LOW_BITS = (1 << 64) - 1

# A generator of its own: if a user's program seeds the common one, ids would repeat. An id is no secret.
_bits = Random().getrandbits  # noqa: S311


class SpanSink(Protocol):
    """Receives ended spans."""

    def put(self, span: NotedSpan) -> None:
        """Take a span. Never waits, never raises."""

    def flush(self, seconds: float) -> bool:
        """Send what was put before; return whether that was done in time."""

    def close(self) -> None:
        """Send what is left, and take no more."""


class NotedTracer(Tracer):
    """Makes spans, as in the OpenTelemetry API.

    Attributes:
        instrumentation: The instrumentation scope.
        limits: The limits of each span.
        room: How many attributes are kept without further checks; 0 if texts may have to be cut.
        ended: Called with each sampled span that has ended.
    """

    __slots__ = ("_sampler", "ended", "instrumentation", "limits", "room")

    def __init__(
        self,
        instrumentation: InstrumentationScope,
        *,
        sampler: ChosenSampler,
        limits: Limits,
        ended: Callable[[NotedSpan], None],
    ) -> None:
        self.instrumentation = instrumentation
        self.limits = limits
        self.room = limits.attributes if limits.length is None else 0
        self.ended = ended
        self._sampler = sampler

    def start_span(  # noqa: PLR0917  the API's signature
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002  the API's signature
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002  likewise
    ) -> Span:
        """Start a span below the one in ``context``, or below the current one."""
        parent = get_current_span(context)
        sampler = self._sampler
        if type(parent) is NotedSpan and parent.trace_flags & _SAMPLED and sampler.is_standard:
            trace_id, parent_id, is_remote = parent.trace_id, parent.span_id, False
            flags, state = parent.trace_flags, parent.trace_state
        else:
            above = parent.get_span_context()
            if above.is_valid:
                trace_id, parent_id, is_remote = above.trace_id, above.span_id, above.is_remote
                random = above.trace_flags & _RANDOM
                is_known = sampler.follows_parents
                if is_known and not above.trace_flags & _SAMPLED:
                    # Nothing that is sent refers to a span that is not recorded, so that one object can stand for
                    # several.
                    return parent if type(parent) is NonRecordingSpan else NonRecordingSpan(above)
            else:
                trace_id, parent_id, is_remote, random = _bits(128) or 1, _ROOT, False, _RANDOM
                is_known = sampler.is_standard
                if is_known and trace_id & _LOW_BITS >= sampler.root_bound:
                    return _left_out(trace_id, random)
            flags, state = random | _SAMPLED, above.trace_state
            if not is_known:
                result = sampler.sampler.should_sample(context, trace_id, name, kind, attributes, links or ())
                if result.decision is not Decision.RECORD_AND_SAMPLE:
                    flags = random
                if result.decision is Decision.DROP:
                    return _left_out(trace_id, flags, result.trace_state)
                attributes, state = result.attributes, result.trace_state or _NO_STATE
        limits = self.limits
        span = NotedSpan(
            self,
            name,
            kind,
            trace_id,
            _bits(64) or 1,
            flags,
            state,
            parent_id,
            is_remote,
            noted(attributes, limits.attributes, limits.length),
            time_ns() if start_time is None else start_time,
            record_exception,
            set_status_on_exception,
        )
        if links:
            span.add_links(links)
        return span

    def start_as_current_span(  # type: ignore[override]  # noqa: PLR0917  theirs is made by a generator, at three times the cost
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002  the API's signature
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002  likewise
        end_on_exit: bool = True,  # noqa: FBT001, FBT002  likewise
    ) -> CurrentSpan:
        """Start a span and make it current in a ``with`` block, or in every call of a function."""
        return CurrentSpan(
            partial(
                self.start_span,
                name,
                context,
                kind,
                attributes,
                links,
                start_time,
                record_exception,
                set_status_on_exception,
            ),
            end_on_exit=end_on_exit,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        )


def _left_out(trace_id: int, flags: int, state: TraceState | None = None) -> Span:
    context = SpanContext(trace_id, _bits(64) or 1, is_remote=False, trace_flags=TraceFlags(flags), trace_state=state)
    return NonRecordingSpan(context)


class NotedTracerProvider(TracerProvider):
    """Returns tracers whose spans go to one sink.

    Args:
        sink: Receives ended spans.
        sampler: Decides which traces are recorded.
        limits: The limits of each span.
    """

    def __init__(self, sink: SpanSink, *, sampler: ChosenSampler, limits: Limits) -> None:
        self._sink = sink
        self._sampler = sampler
        self._limits = limits
        self._lock = Lock()
        self._tracers: dict[InstrumentationScope, NotedTracer] = {}

    @property
    def follows_parents(self) -> bool:
        """Whether children of a span that is not recorded are not recorded either."""
        return self._sampler.follows_parents

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> NotedTracer:
        """Return the tracer of a library; the same one for the same arguments."""
        instrumentation = InstrumentationScope(
            instrumenting_module_name or "", instrumenting_library_version or "", schema_url, attributes
        )
        with self._lock:
            if (tracer := self._tracers.get(instrumentation)) is None:
                tracer = self._tracers[instrumentation] = NotedTracer(
                    instrumentation, sampler=self._sampler, limits=self._limits, ended=self._sink.put
                )
        return tracer

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what has ended so far; return whether that was done in time."""
        return self._sink.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Send what has ended, and take no more."""
        self._sink.close()
