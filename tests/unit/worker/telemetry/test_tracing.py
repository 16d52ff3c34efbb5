"""The provider of a process, and the errors for invalid variables. Each case runs in its own process."""

import os
import subprocess
import sys

import pytest
from opentelemetry import metrics, trace

from worker.errors import SettingsError
from worker.telemetry.otlp_variables import OtlpOptions
from worker.telemetry.providers import Telemetry

NOWHERE = "http://127.0.0.1:9"
PROVIDER = """
from opentelemetry import trace
{before}
from worker.telemetry.providers import Telemetry
telemetry = Telemetry.start()
provider = trace.get_tracer_provider()
print(type(provider).__module__, type(provider).__name__)
span = trace.get_tracer("test").start_span("only")
span.end()
telemetry.stop(0.1)
"""


def run(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**given, "OTEL_METRICS_EXPORTER": "none", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_spans_for_otlp_are_recorded_by_our_provider(protocol: str) -> None:
    done = run(PROVIDER.format(before=""), OTEL_EXPORTER_OTLP_ENDPOINT=NOWHERE, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert done.stdout.split() == ["worker.telemetry.noted_tracer", "NotedTracerProvider"], done.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_TRACES_EXPORTER": "otlp_proto_http"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE, "OTEL_PYTHON_ID_GENERATOR": "random"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE, "OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider"},
    ],
)
def test_unknown_configurations_use_the_sdks_provider(variables: dict[str, str]) -> None:
    done = run(PROVIDER.format(before=""), **variables)
    assert done.stdout.split()[:2] == ["opentelemetry.sdk.trace", "TracerProvider"], done.stderr


def test_a_span_on_the_console_is_complete() -> None:
    done = run(PROVIDER.format(before=""), OTEL_TRACES_EXPORTER="console", OTEL_SERVICE_NAME="shop")
    assert '"name": "only"' in done.stdout
    assert '"service.name": "shop"' in done.stdout


def test_a_programs_own_provider_is_kept() -> None:
    before = "class Own(trace.NoOpTracerProvider): pass\ntrace.set_tracer_provider(Own())"
    done = run(PROVIDER.format(before=before), OTEL_EXPORTER_OTLP_ENDPOINT=NOWHERE)
    assert done.stdout.split() == ["__main__", "Own"], done.stderr


def test_a_disabled_sdk_has_no_provider() -> None:
    done = run(PROVIDER.format(before=""), OTEL_EXPORTER_OTLP_ENDPOINT=NOWHERE, OTEL_SDK_DISABLED="true")
    assert done.stdout.split() == ["opentelemetry.trace", "ProxyTracerProvider"], done.stderr


WRONG = [
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "must be one of grpc, http/protobuf, not 'http/json'"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "smoke", "must be one of grpc, http/protobuf, not 'smoke'"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", "must be one of none, gzip over grpc, not 'brotli'"),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "deflate", "must be one of none, gzip over grpc, not 'deflate'"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "must be a number of seconds above 0, not 'soon'"),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0", "must be a number of seconds above 0, not '0'"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem", "names /nowhere/ca.pem, which cannot be read"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[", "must be an address such as"),
    ("OTEL_EXPORTER_OTLP_INSECURE", "1", "must be true or false, not '1'"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "must be a whole number above 0, not 'many'"),
    ("OTEL_BSP_SCHEDULE_DELAY", "0", "must be a whole number above 0, not '0'"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "must not exceed OTEL_BSP_MAX_QUEUE_SIZE"),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "-1", "must be a non-negative integer but got -1"),
    ("OTEL_TRACES_SAMPLER", "sometimes", "must be one of"),
]


@pytest.mark.parametrize(("name", "value", "complaint"), WRONG)
def test_an_invalid_variable_is_named_in_one_sentence(
    name: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", NOWHERE)
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        Telemetry.start()
    sentence = str(raised.value)
    assert name in sentence
    assert complaint in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    with pytest.raises(SettingsError) as checked:
        Telemetry.check()
    assert str(checked.value) == sentence


@pytest.mark.parametrize("name", ["OTEL_PYTHON_ID_GENERATOR", "OTEL_TRACES_SAMPLER"])
def test_a_check_finds_what_the_sdks_own_provider_lacks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv(name, "nobody's")
    with pytest.raises(SettingsError, match=name):
        Telemetry.check()


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("exporter", ["otlp", "console"])
def test_a_check_of_good_variables_starts_nothing(
    exporter: str, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", NOWHERE)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", exporter)
    providers = trace.get_tracer_provider(), metrics.get_meter_provider()
    Telemetry.check()
    assert (trace.get_tracer_provider(), metrics.get_meter_provider()) == providers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_SAMPLER_ARG", "half"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-3"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ],
)
def test_an_invalid_variable_ends_a_command_with_status_2(name: str, value: str) -> None:
    arguments = ["publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}']
    program = f"from worker.cli import main; import sys; sys.argv[1:] = {arguments!r}; main()"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE, "OTEL_TRACES_SAMPLER": "traceidratio", name: value}
    variables |= {"WORKER_DOMAINS": "handlers.library:domain"}
    done = run(program, AMQP_URL="amqp://guest:guest@127.0.0.1:9/", **variables)
    assert done.returncode == 2, done.stderr
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_metrics_report_invalid_variables_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", NOWHERE)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "zip")
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_METRICS_COMPRESSION must be one of none, gzip"):
        Telemetry.start()


@pytest.mark.parametrize(
    ("variables", "endpoint", "insecure"),
    [
        ({}, "localhost:4317", True),
        ({"ENDPOINT": "http://collector:4317"}, "collector:4317", True),
        ({"ENDPOINT": "https://collector:4317"}, "collector:4317", False),
        ({"ENDPOINT": "collector:4317"}, "collector:4317", False),
        ({"ENDPOINT": "collector:4317", "INSECURE": "true"}, "collector:4317", True),
        ({"ENDPOINT": "https://collector:4317", "INSECURE": "true"}, "collector:4317", False),
        ({"ENDPOINT": "http://collector:4317", "TRACES_INSECURE": "false"}, "collector:4317", False),
        ({"ENDPOINT": "http://other:1", "TRACES_ENDPOINT": "http://collector:4317"}, "collector:4317", True),
    ],
)
def test_grpc_uses_the_endpoint_that_the_sdk_would_use(
    variables: dict[str, str], endpoint: str, *, insecure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  slow to import

    options = OtlpOptions.from_environment("grpc")
    theirs = OTLPSpanExporter()
    assert (options.endpoint, options.insecure) == (endpoint, insecure)
    assert (theirs._endpoint, theirs._insecure) == (endpoint, insecure)
    theirs.shutdown()


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({}, "http://localhost:4318/v1/traces"),
        ({"ENDPOINT": "http://collector:4318/"}, "http://collector:4318/v1/traces"),
        ({"ENDPOINT": "http://collector/otlp"}, "http://collector/otlp/v1/traces"),
        ({"TRACES_ENDPOINT": "http://collector/spans"}, "http://collector/spans"),
    ],
)
def test_http_uses_the_endpoint_that_the_sdk_would_use(
    variables: dict[str, str], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  slow to import

    theirs = OTLPSpanExporter()
    assert OtlpOptions.from_environment("http/protobuf").endpoint == endpoint == theirs._endpoint
    theirs.shutdown()  # type: ignore[no-untyped-call]  # the SDK's method has no types
