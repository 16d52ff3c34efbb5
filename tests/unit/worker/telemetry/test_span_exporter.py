"""The exporter's retries after a refusal by the collector."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource

from worker.telemetry.span_exporter import NotTaken, OtlpSpanExporter


class Refusing:
    """A collector that refuses every request."""

    component, host, port = "otlp_grpc_span_exporter", "collector", 4317

    def __init__(self, delays: list[float | None]) -> None:
        self._delays = delays
        self.asked = 0

    def send(self, _request: bytes, _seconds: float) -> bytes:
        delay = self._delays[self.asked]
        self.asked += 1
        raise NotTaken("full", kind="RESOURCE_EXHAUSTED", may_help=True, delay=delay)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("delays", "waited"),
    [([None] * 6, [1.2, 2.4, 4.8, 9.6, 19.2]), ([None, 3.0, None, 0.5, None, None], [1.2, 3.0, 4.8, 0.5, 19.2])],
)
def test_each_wait_doubles_unless_the_collector_sets_it(
    monkeypatch: pytest.MonkeyPatch, delays: list[float | None], waited: list[float]
) -> None:
    ranges: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        ranges.append((low, high))
        return high

    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    transport = Refusing(delays)
    exporter = OtlpSpanExporter(Resource({}), transport, timeout=3600, meter_provider=MeterProvider())
    monkeypatch.setattr("random.uniform", longest)
    monkeypatch.setattr(exporter._closing, "wait", wait)
    exporter.export([])
    assert transport.asked == 6
    assert waits == pytest.approx(waited)
    # With jitter of up to a fifth.
    assert [low / high for low, high in ranges] == pytest.approx([0.8 / 1.2] * len(ranges))
