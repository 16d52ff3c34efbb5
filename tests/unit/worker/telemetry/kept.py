"""Helpers of the tests of spans."""

from collections.abc import Callable

from opentelemetry.sdk.trace.id_generator import IdGenerator

from worker.telemetry.noted_span import Limits, NotedSpan

PLAIN = Limits(128, None, 128, 128, 128, 128, None)
"""The limits that apply unless a variable says otherwise."""


class Kept:
    """Collects ended spans."""

    def __init__(self) -> None:
        self.spans: list[NotedSpan] = []

    def put(self, span: NotedSpan) -> None:
        self.spans.append(span)

    def flush(self, seconds: float) -> bool:  # noqa: ARG002  the queue's signature
        return True

    def close(self) -> None:
        pass


class Ids(IdGenerator):
    """An id generator for the SDK with the same random source, drawn in the same order as ours."""

    def __init__(self, bits: Callable[[int], int]) -> None:
        self._bits = bits

    def generate_trace_id(self) -> int:
        return self._bits(128) or 1

    def generate_span_id(self) -> int:
        return self._bits(64) or 1

    def is_trace_id_random(self) -> bool:
        return True
