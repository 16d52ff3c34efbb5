"""The collector's configuration: pipelines name defined components, and every component is used."""

from typing import Any

import pytest

from deploy.local.telemetry.collector import on_this_machine
from tests.support.composition import composition, example_environment
from tests.unit.deploy.watching import yaml_of

_KINDS = ("receivers", "processors", "exporters")


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Merge files as the collector does: mappings by key; otherwise the last one wins."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = _merged(one[key], other[key])
    return both


@pytest.fixture(params=["by itself", "with tail sampling"])
def configuration(request: pytest.FixtureRequest) -> dict[str, Any]:
    alone = yaml_of("otel/collector.yaml")
    return alone if request.param == "by itself" else _merged(alone, yaml_of("otel/tail-sampling.yaml"))


@pytest.fixture
def collector() -> dict[str, Any]:
    found: dict[str, Any] = composition(example_environment())["services"]["otel-collector"]
    return found


def test_pipelines_name_defined_components_and_every_component_is_used(configuration: dict[str, Any]) -> None:
    pipelines = configuration["service"]["pipelines"].values()
    for kind in _KINDS:
        assert {name for pipeline in pipelines for name in pipeline[kind]} == set(configuration[kind]), kind
    assert set(configuration["service"]["extensions"]) == set(configuration["extensions"])
    assert set(configuration) == {*_KINDS, "extensions", "service"}


def test_the_memory_limiter_comes_first_and_the_batch_processor_last(configuration: dict[str, Any]) -> None:
    assert set(configuration["service"]["pipelines"]) == {"traces", "metrics"}
    for pipeline in configuration["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        assert pipeline["processors"][-1] == "batch"


def test_traces_go_to_jaeger_and_metrics_to_prometheus(configuration: dict[str, Any]) -> None:
    pipelines = configuration["service"]["pipelines"]
    assert pipelines["traces"]["exporters"] == ["otlp_grpc/jaeger"]
    assert configuration["exporters"]["otlp_grpc/jaeger"]["endpoint"] == "jaeger:4317"
    assert pipelines["metrics"]["exporters"] == ["prometheus"]
    assert configuration["exporters"]["prometheus"]["translation_strategy"] == "UnderscoreEscapingWithSuffixes"


def test_its_own_metrics_have_the_names_in_the_alerts() -> None:
    # By default, a reader omits the suffix "_total", and the alert would never fire.
    (reader,) = yaml_of("otel/collector.yaml")["service"]["telemetry"]["metrics"]["readers"]
    own = reader["pull"]["exporter"]["prometheus"]
    assert own["without_type_suffix"] is False
    jobs = {scrape["job_name"]: scrape for scrape in yaml_of("prometheus/prometheus.yml")["scrape_configs"]}
    assert jobs["otel-collector"]["static_configs"][0]["targets"] == [f"otel-collector:{own['port']}"]


def test_tail_sampling_keeps_errors_and_conflicts() -> None:
    policies = {
        policy["name"]: policy
        for policy in yaml_of("otel/tail-sampling.yaml")["processors"]["tail_sampling"]["policies"]
    }
    assert policies["errors"]["status_code"] == {"status_codes": ["ERROR"]}
    assert policies["conflicts"]["ottl_condition"]["spanevent"] == ['name == "conflict"']


def test_it_listens_at_the_ports_of_workers_and_health_checks(
    configuration: dict[str, Any], collector: dict[str, Any]
) -> None:
    protocols = configuration["receivers"]["otlp"]["protocols"]
    ports = {name: protocol["endpoint"].rpartition(":")[2] for name, protocol in protocols.items()}
    assert {port.rpartition(":")[2] for port in collector["ports"]} == set(ports.values())
    worker = composition(example_environment())["services"]["worker"]["environment"]
    assert worker["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://otel-collector:{ports['grpc']}"
    assert worker["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
    health = configuration["extensions"]["health_check"]["endpoint"].rpartition(":")[2]
    assert f"http://127.0.0.1:{health}/" in collector["healthcheck"]["test"]


def test_it_starts_with_its_configuration_file(collector: dict[str, Any]) -> None:
    assert collector["command"] == ["--config=/etc/otelcol/collector.yaml"]
    assert "./deploy/otel:/etc/otelcol:ro" in collector["volumes"]


@pytest.mark.parametrize("jaeger", [None, 15009])
def test_on_one_machine_it_listens_on_the_loopback_interface_only(jaeger: int | None) -> None:
    ports = {"grpc": 15001, "http": 15002, "metrics": 15003, "own": 15004, "health": 15005}
    merged = _merged(yaml_of("otel/collector.yaml"), on_this_machine(ports, jaeger=jaeger))
    text = str(merged)
    assert "0.0.0.0" not in text  # noqa: S104  asserted to be absent
    assert all(f"127.0.0.1:{port}" in text for name, port in ports.items() if name != "own")
    traces = merged["service"]["pipelines"]["traces"]["exporters"]
    if jaeger is None:
        assert traces == ["nop"]
    else:
        assert merged["exporters"][traces[0]]["endpoint"] == f"127.0.0.1:{jaeger}"
    for pipeline in merged["service"]["pipelines"].values():
        assert all(name in merged[kind] for kind in _KINDS for name in pipeline[kind])
