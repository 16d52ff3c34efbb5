"""Job spans: the trace spans and span events of the attempts at a command."""

import logging
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from eventstore import ConcurrencyConflict, ConflictError
from eventstore.telemetry import child_span
from worker.rounds.job import Job
from worker.telemetry.spans import mark_failed, trace_id_of, tracer

__all__ = ["begin_attempt", "decide_span", "end_attempt", "note_broken", "note_conflict", "query_span"]

_log = logging.getLogger(__name__)


def begin_attempt(job: Job, parts_known: int) -> None:
    """Begin the span of an attempt.

    Args:
        job: The command.
        parts_known: How many of its parts need no read.
    """
    if not job.is_traced:
        return
    attributes: dict[str, AttributeValue] = {
        "command.attempt": job.attempts,
        "command.waited": job.waited,
        "parts.known": parts_known,
    }
    try:
        job.span = child_span(tracer, "attempt", attributes, context=job.context)
    except Exception:  # noqa: BLE001  such as a program's own span processor raises; the attempt goes on without
        _log.exception("beginning the span of an attempt at %s failed", job.message.command_type)
        return
    if job.span.is_recording():
        job.attempt_context = trace.set_span_in_context(job.span, job.context)


def end_attempt(job: Job, failure: BaseException | None = None) -> None:
    """End the span of an attempt, with the error that it failed with, if any."""
    span, job.span, job.attempt_context = job.span, trace.INVALID_SPAN, job.context
    try:
        if failure is not None and span.is_recording():
            mark_failed(span, type(failure).__name__, str(failure))
        span.end()
    except Exception:  # noqa: BLE001  such as a program's own span processor raises; the command has its end all the same
        _log.exception("ending the span of an attempt at %s failed", job.message.command_type)


def query_span(job: Job) -> Span:
    """Begin a command's span of a query that several commands share. The attempt's span must be recorded."""
    attributes = {"db.operation.name": "query", "db.collection.name": "events"}
    return tracer.start_span("query events", context=job.attempt_context, attributes=attributes)


def decide_span(job: Job) -> Span:
    """Begin the span of a decision; an invalid span if the attempt is not traced."""
    if not job.span.is_recording():
        return trace.INVALID_SPAN
    return tracer.start_span(
        f"decide {job.message.command_type}",
        context=job.attempt_context,
        attributes={"command.events_read": job.events_read},
    )


def note_broken(job: Job) -> None:
    """Note on the attempt's span that a state it was decided on was not recorded, so that it is decided again."""
    event, job.relied_on = job.relied_on, None
    if job.span.is_recording():
        job.span.add_event("broken", _origin("broken", event.metadata) if event is not None else {})


def note_conflict(job: Job, conflict: ConflictError, known: int) -> None:
    """Note on the attempt's span which event it conflicted with.

    Args:
        job: The command.
        conflict: The store's answer.
        known: Sequence number up to which the conflicting part was known, if this attempt did not read it.
    """
    if not job.span.is_recording():
        return
    attributes: dict[str, str | int | bool] = {"conflict.kind": type(conflict).__name__}
    attributes["conflict.read_position"] = job.position_read if job.has_read else known
    attributes["conflict.read_on_replica"] = job.read_from_replica
    if isinstance(conflict, ConcurrencyConflict):
        attributes["conflict.sequence_number"] = conflict.sequence_number
        attributes["conflict.event_type"] = conflict.event_type
        attributes |= _origin("conflict", conflict.metadata)
    job.span.add_event("conflict", attributes)


def _origin(kind: str, metadata: Mapping[str, object]) -> dict[str, str]:
    """Return the command of an event and its trace, as attributes."""
    attributes = {}
    if isinstance(command_id := metadata.get("command_id"), str):
        attributes[f"{kind}.command_id"] = command_id
    if (trace_id := trace_id_of(metadata.get("traceparent"))) is not None:
        attributes[f"{kind}.trace_id"] = trace_id
    return attributes
