"""``compose.yaml`` against the published schema and the project's documentation.

``compose-spec.json`` is the schema of the Compose specification (https://github.com/compose-spec/compose-spec,
Apache License 2.0, ``compose-spec.LICENSE``), unchanged.
"""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from typer.testing import CliRunner

from tests.support.composition import (
    ROOT,
    VariableMissing,
    composition,
    example_environment,
    raw_composition,
    variables,
)
from worker.cli.app import app
from worker.settings import Settings

_SERVICES = (
    "postgres",
    "postgres-replica",
    "rabbitmq",
    "otel-collector",
    "jaeger",
    "postgres-exporter",
    "prometheus",
    "grafana",
    "migrate",
    "worker",
    "follow",
    "console",
)
_SECONDS = {"s": 1, "m": 60}
# Addresses for a browser on the machine that runs the containers.
_PAGES = {"WORKER_TRACE_URL", "WORKER_METRICS_URL"}


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = composition(example_environment())["services"]
    return found


def _schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
    return loaded


def _validate(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(_schema()).validate(document)


def test_it_follows_the_published_schema() -> None:
    _validate(raw_composition())
    _validate(composition(example_environment()))


def test_the_schema_refuses_an_invalid_file() -> None:
    document = raw_composition()
    document["services"]["worker"]["depend_on"] = ["postgres"]
    with pytest.raises(jsonschema.ValidationError):
        _validate(document)


def test_it_has_all_services(services: dict[str, Any]) -> None:
    assert set(services) == set(_SERVICES)


def test_the_example_sets_every_required_variable() -> None:
    mandatory = {name for name, must in variables().items() if must}
    assert set(example_environment()) == mandatory


def test_the_example_names_exactly_the_variables() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)) == set(variables())


@pytest.mark.parametrize("name", sorted(example_environment()))
def test_a_missing_password_stops_compose_with_a_hint(name: str) -> None:
    environment = example_environment()
    del environment[name]
    with pytest.raises(VariableMissing, match=f"{name}: copy .env.example to .env first"):
        composition(environment)


def test_the_file_contains_no_password() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    for line in text.splitlines():
        if re.search(r"password", line, re.IGNORECASE):
            assert "${" in line, line
    assert not re.search(r"://\w+:(?!\$)[^/]*@", text)


def test_every_long_running_service_has_a_health_check(services: dict[str, Any]) -> None:
    for name in set(_SERVICES) - {"migrate", "worker", "follow"}:
        assert services[name]["healthcheck"]["test"][0] == "CMD", name
    # As root, it could create Erlang's cookie before the server, which then could not read it.
    assert services["rabbitmq"]["healthcheck"]["test"][1:4] == ["gosu", "rabbitmq", "rabbitmq-diagnostics"]
    # The worker's health check is part of its image, for use without Compose.
    assert "healthcheck" not in services["worker"]
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_workers_start_after_their_dependencies(services: dict[str, Any]) -> None:
    conditions = {name: need["condition"] for name, need in services["worker"]["depends_on"].items()}
    assert conditions == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "postgres-replica": "service_healthy",
        "rabbitmq": "service_healthy",
        "otel-collector": "service_started",
    }
    for name in ("migrate", "postgres-replica"):
        assert services[name]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_other_processes_have_the_workers_environment(services: dict[str, Any]) -> None:
    worker, beside = services["worker"], services["follow"]
    assert beside["command"] == ["follow"]
    same = ("image", "environment", "depends_on", "stop_grace_period", "cap_drop", "read_only")
    assert {what: beside[what] for what in same} == {what: worker[what] for what in same}


def test_the_console_is_optional_and_needs_a_password(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = services["console"]
    assert console["profiles"] == ["console"]
    assert CliRunner().invoke(app, [console["command"][0], "--help"]).exit_code == 0
    assert console["environment"].items() > services["worker"]["environment"].items()
    for chosen in ("", "of-this-test"):
        environment = example_environment() | {"CONSOLE_PASSWORD": chosen}
        for name, value in composition(environment)["services"]["console"]["environment"].items():
            monkeypatch.setenv(name, str(value))
        assert Settings.load().worker_console_password == chosen


def test_workers_can_be_scaled(services: dict[str, Any]) -> None:
    assert not {"container_name", "ports", "hostname", "volumes"} & set(services["worker"])


def test_a_worker_may_drain_before_it_is_killed(services: dict[str, Any]) -> None:
    grace = re.fullmatch(r"(\d+)([sm])", services["worker"]["stop_grace_period"])
    assert grace is not None
    deadline = services["worker"]["environment"]["WORKER_DRAIN_DEADLINE"]
    assert int(grace[1]) * _SECONDS[grace[2]] >= deadline + 10


def test_the_settings_accept_the_workers_environment(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in services["worker"]["environment"].items():
        monkeypatch.setenv(name, str(value))
    settings = Settings.load()
    assert len(settings.database_replica_urls) == 1
    known = {field.upper() for field in Settings.described()}
    assert {name for name in services["worker"]["environment"] if not name.startswith("OTEL_")} <= known


def test_the_settings_accept_the_migrations_environment(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in services["migrate"]["environment"].items():
        monkeypatch.setenv(name, value)
    Settings.load(needs=("database_admin_url",))


def test_only_the_migration_is_an_administrator(services: dict[str, Any]) -> None:
    users = {
        name: urlsplit(value).username
        for service in ("worker", "migrate")
        for name, value in services[service]["environment"].items()
        if name.endswith(("_URL", "_URLS")) and name not in _PAGES
    }
    assert users == {
        "DATABASE_URL": "worker",
        "DATABASE_REPLICA_URLS": "worker",
        "AMQP_URL": "worker",
        "DATABASE_ADMIN_URL": "admin",
    }


def test_every_image_is_pinned(services: dict[str, Any]) -> None:
    recipe = (ROOT / "deploy" / "otel" / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", recipe, re.MULTILINE)
    assert len(bases) == 2
    built = {service["image"] for service in services.values() if "build" in service}
    python = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert python is not None
    for image in [*bases, python[1], *({service["image"] for service in services.values()} - built)]:
        # A tag of an exact version: two numbers for PostgreSQL, three for all others.
        name, _, tag = image.rpartition(":")
        numbers = 2 if name == "postgres" else 3
        assert re.fullmatch(rf"v?\d+(\.\d+){{{numbers - 1}}}(-[a-z]+)*", tag), image


def test_every_built_image_has_a_dockerfile(services: dict[str, Any]) -> None:
    contexts = {name: service["build"]["context"] for name, service in services.items() if "build" in service}
    assert contexts == {"worker": ".", "otel-collector": "deploy/otel"}
    for context in contexts.values():
        assert (ROOT / context / "Dockerfile").is_file()


def test_an_image_is_built_by_one_service_only(services: dict[str, Any]) -> None:
    # Compose builds in parallel: the second build with the same image name fails.
    images = [service["image"] for service in services.values() if "build" in service]
    assert len(images) == len(set(images))
    assert services["migrate"]["image"] == services["worker"]["image"]
    mine = composition(example_environment() | {"WORKER_IMAGE": "shop-worker"})["services"]
    assert mine["migrate"]["image"] == mine["worker"]["image"] == "shop-worker"


def test_no_service_depends_on_monitoring(services: dict[str, Any]) -> None:
    watching = {"otel-collector", "jaeger", "postgres-exporter", "prometheus", "grafana"}
    for name in services.keys() - watching:
        needs = services[name].get("depends_on", {})
        assert {needs[other]["condition"] for other in needs.keys() & watching} <= {"service_started"}


def test_the_postgresql_exporter_connects_as_the_monitoring_user(services: dict[str, Any]) -> None:
    environment = services["postgres-exporter"]["environment"]
    assert environment["DATA_SOURCE_USER"] == "monitor"
    assert environment["DATA_SOURCE_PASS"] == services["postgres"]["environment"]["POSTGRES_MONITOR_PASSWORD"]
    assert environment["DATA_SOURCE_URI"].split("?")[0] == "postgres:5432/dynamic_streams"


def test_the_brokers_plugins_serve_metrics_and_shards(
    services: dict[str, Any],
) -> None:
    assert "./deploy/rabbitmq/enabled_plugins:/etc/rabbitmq/enabled_plugins:ro" in services["rabbitmq"]["volumes"]
    plugins = (ROOT / "deploy" / "rabbitmq" / "enabled_plugins").read_text(encoding="utf-8")
    assert plugins.splitlines()[-1] == "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_consistent_hash_exchange]."


def test_addresses_name_services_of_the_file(services: dict[str, Any]) -> None:
    for service in ("worker", "migrate"):
        for name, value in services[service]["environment"].items():
            if "://" in str(value) and name not in _PAGES:
                assert urlsplit(value).hostname in services, name


@pytest.mark.parametrize(("name", "service"), [("WORKER_TRACE_URL", "jaeger"), ("WORKER_METRICS_URL", "grafana")])
def test_page_addresses_are_published_ports(name: str, service: str) -> None:
    for environment in (example_environment(), example_environment() | {f"{service.upper()}_PORT": "1234"}):
        services = composition(environment)["services"]
        (port,) = services[service]["ports"]
        address = urlsplit(services["worker"]["environment"][name])
        assert (address.hostname, str(address.port)) == ("localhost", port.split(":")[1])


def test_ports_are_published_on_the_loopback_interface_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == len({port.split(":")[1] for port in ports}), "two services want one port"
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_mounted_files_exist_and_are_read_only(services: dict[str, Any]) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    files = [mount.split(":") for mount in mounts if mount.startswith("./")]
    assert files
    for source, target, mode in files:
        assert (ROOT / source).exists(), source
        assert mode == "ro", source
        if target.endswith(".sh"):
            assert (ROOT / source).stat().st_mode & 0o111, f"{source} must be executable"


def test_the_volume_is_where_postgresql_18_expects_it(services: dict[str, Any]) -> None:
    # Images from 18 on refuse a volume at /var/lib/postgresql/data.
    for name in ("postgres", "postgres-replica"):
        assert services[name]["image"].startswith("postgres:18.")
        assert f"{name}:/var/lib/postgresql" in services[name]["volumes"]


def test_the_broker_keeps_its_name(services: dict[str, Any]) -> None:
    # A node's data folder is named after its host: under another host name it starts empty.
    assert services["rabbitmq"]["hostname"] == "rabbitmq"


def test_workers_reach_the_virtual_host_of_the_definitions(services: dict[str, Any]) -> None:
    definitions = json.loads(composition(example_environment())["configs"]["rabbitmq-definitions"]["content"])
    address = urlsplit(services["worker"]["environment"]["AMQP_URL"])
    logins = {(user["name"], user["password"]) for user in definitions["users"]}
    assert (address.username, address.password) in logins
    assert {"name": address.path.removeprefix("/")} in definitions["vhosts"]
    assert {permission["user"] for permission in definitions["permissions"]} == {"admin", "worker"}
    assert not {"queues", "exchanges", "bindings"} & set(definitions), "workers declare their own"
