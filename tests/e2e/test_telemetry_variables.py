"""``OTEL_*`` variables that are wrong: a sentence from what sends telemetry, and nothing from what sends none."""

import pytest

from tests.e2e.program import Worker

# Read by Python itself, so that a fresh one is started: these are read when packages are imported.
FRESH = {"PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("OTEL_PROPAGATORS", "tracecontext,pigeon", "names no propagator that is installed: 'pigeon'"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "many", "must be a whole number, 0 or more, not 'many'"),
        ("OTEL_PYTHON_TRACER_PROVIDER", "pigeon", "names nothing that is installed: 'pigeon'"),
        ("OTEL_PYTHON_METER_PROVIDER", "pigeon", "names nothing that is installed: 'pigeon'"),
    ],
)
async def test_what_is_wrong_when_packages_are_imported_stops_only_what_sends_telemetry(
    worker: Worker, variable: str, value: str, sentence: str
) -> None:
    mistaken = worker.having(**FRESH, **{variable: value})
    assert (await mistaken("config")).status == 0
    assert (await mistaken("run")).mistake() == f"{variable} {sentence}."


async def test_the_mistake_is_told_by_several_processes_once(worker: Worker) -> None:
    mistaken = worker.having(**FRESH, OTEL_PROPAGATORS="pigeon")
    assert "names no propagator" in (await mistaken("run", "--processes", "2")).mistake()
