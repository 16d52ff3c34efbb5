"""The span context of what must not be traced, such as the sending of spans."""

from opentelemetry.trace import SpanContext, TraceFlags

__all__ = ["UNTRACED"]

UNTRACED = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.DEFAULT))
"""Valid and not sampled, so that instrumentation records nothing below it. It belongs to no trace."""
