"""Variables that packages read at their import are validated before."""

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from worker.errors import SettingsError
from worker.telemetry.early_variables import refuse_early_mistakes, set_early_mistakes_aside


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    with patch.dict(os.environ):
        yield


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_PROPAGATORS", "b4"),
        ("OTEL_PROPAGATORS", "tracecontext,,baggage"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "unset"),
        ("OTEL_PYTHON_CONTEXT", "pigeon"),
    ],
)
def test_an_invalid_one_is_removed_for_child_processes_as_well(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.delenv(f"SET_ASIDE_{variable}", raising=False)
    for _ in range(2):
        set_early_mistakes_aside()
        assert variable not in os.environ
        with pytest.raises(SettingsError, match=f"^{variable} .*\\.$"):
            refuse_early_mistakes()
    monkeypatch.setenv(variable, "none" if variable == "OTEL_PROPAGATORS" else "")
    monkeypatch.delenv(f"SET_ASIDE_{variable}")
    set_early_mistakes_aside()
    refuse_early_mistakes()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_PROPAGATORS", "tracecontext, baggage"),
        ("OTEL_PROPAGATORS", "none,pigeon"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", " 0 "),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", ""),
        ("OTEL_PYTHON_CONTEXT", "contextvars_context"),
        ("OTEL_PYTHON_TRACER_PROVIDER", "sdk_tracer_provider"),
    ],
)
def test_a_valid_one_is_kept(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    set_early_mistakes_aside()
    assert os.environ[variable] == value
    refuse_early_mistakes()
