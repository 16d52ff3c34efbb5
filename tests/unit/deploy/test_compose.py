"""``compose.yaml`` against the published schema, and against what the project promises of it.

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
# Addresses that are for people: a browser opens them, on the machine that the containers run on.
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


def test_the_schema_refuses_a_wrong_file() -> None:
    document = raw_composition()
    document["services"]["worker"]["depend_on"] = ["postgres"]
    with pytest.raises(jsonschema.ValidationError):
        _validate(document)


def test_it_has_the_full_picture(services: dict[str, Any]) -> None:
    assert set(services) == set(_SERVICES)


def test_the_example_sets_every_variable_that_must_be_set() -> None:
    mandatory = {name for name, must in variables().items() if must}
    assert set(example_environment()) == mandatory


def test_the_example_names_every_variable_and_no_other() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)) == set(variables())


@pytest.mark.parametrize("name", sorted(example_environment()))
def test_a_missing_password_stops_compose_with_advice(name: str) -> None:
    environment = example_environment()
    del environment[name]
    with pytest.raises(VariableMissing, match=f"{name}: copy .env.example to .env first"):
        composition(environment)


def test_no_password_is_written_in_the_file() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    for line in text.splitlines():
        if re.search(r"password", line, re.IGNORECASE):
            assert "${" in line, line
    assert not re.search(r"://\w+:(?!\$)[^/]*@", text)


def test_every_service_that_stays_has_a_health_check(services: dict[str, Any]) -> None:
    for name in set(_SERVICES) - {"migrate", "worker", "follow"}:
        assert services[name]["healthcheck"]["test"][0] == "CMD", name
    # As root, it could make the cookie of Erlang before the server does, which then could not read it.
    assert services["rabbitmq"]["healthcheck"]["test"][1:4] == ["gosu", "rabbitmq", "rabbitmq-diagnostics"]
    # The worker's is part of its image, so that it also serves elsewhere.
    assert "healthcheck" not in services["worker"]
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_workers_start_after_what_they_need(services: dict[str, Any]) -> None:
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


def test_what_runs_beside_workers_has_what_they_have(services: dict[str, Any]) -> None:
    worker, beside = services["worker"], services["follow"]
    assert beside["command"] == ["follow"]
    same = ("image", "environment", "depends_on", "stop_grace_period", "cap_drop", "read_only")
    assert {what: beside[what] for what in same} == {what: worker[what] for what in same}


def test_the_console_is_there_for_who_asks_and_answers_by_a_password(
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
        # A version that is not moved on: of PostgreSQL two numbers, of all others three.
        name, _, tag = image.rpartition(":")
        numbers = 2 if name == "postgres" else 3
        assert re.fullmatch(rf"v?\d+(\.\d+){{{numbers - 1}}}(-[a-z]+)*", tag), image


def test_what_is_built_here_has_its_recipe(services: dict[str, Any]) -> None:
    contexts = {name: service["build"]["context"] for name, service in services.items() if "build" in service}
    assert contexts == {"worker": ".", "otel-collector": "deploy/otel"}
    for context in contexts.values():
        assert (ROOT / context / "Dockerfile").is_file()


def test_an_image_is_built_by_one_service_only(services: dict[str, Any]) -> None:
    # Compose builds all at once, and the second that gives an image the same name fails.
    images = [service["image"] for service in services.values() if "build" in service]
    assert len(images) == len(set(images))
    assert services["migrate"]["image"] == services["worker"]["image"]
    mine = composition(example_environment() | {"WORKER_IMAGE": "shop-worker"})["services"]
    assert mine["migrate"]["image"] == mine["worker"]["image"] == "shop-worker"


def test_nothing_that_works_waits_for_what_watches(services: dict[str, Any]) -> None:
    watching = {"otel-collector", "jaeger", "postgres-exporter", "prometheus", "grafana"}
    for name in services.keys() - watching:
        needs = services[name].get("depends_on", {})
        assert {needs[other]["condition"] for other in needs.keys() & watching} <= {"service_started"}


def test_the_exporter_of_postgresql_only_watches(services: dict[str, Any]) -> None:
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
def test_the_address_of_a_page_is_where_it_can_be_seen(name: str, service: str) -> None:
    for environment in (example_environment(), example_environment() | {f"{service.upper()}_PORT": "1234"}):
        services = composition(environment)["services"]
        (port,) = services[service]["ports"]
        address = urlsplit(services["worker"]["environment"][name])
        assert (address.hostname, str(address.port)) == ("localhost", port.split(":")[1])


def test_ports_are_open_to_this_machine_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == len({port.split(":")[1] for port in ports}), "two services want one port"
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_mounted_files_exist_and_cannot_be_changed_from_inside(services: dict[str, Any]) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    files = [mount.split(":") for mount in mounts if mount.startswith("./")]
    assert files
    for source, target, mode in files:
        assert (ROOT / source).exists(), source
        assert mode == "ro", source
        if target.endswith(".sh"):
            assert (ROOT / source).stat().st_mode & 0o111, f"{source} must be executable"


def test_data_lies_where_postgresql_18_keeps_it(services: dict[str, Any]) -> None:
    # Images from 18 on refuse a volume at /var/lib/postgresql/data.
    for name in ("postgres", "postgres-replica"):
        assert services[name]["image"].startswith("postgres:18.")
        assert f"{name}:/var/lib/postgresql" in services[name]["volumes"]


def test_the_broker_keeps_its_name(services: dict[str, Any]) -> None:
    # The folder of a node's data is named after its host: under another name it starts empty.
    assert services["rabbitmq"]["hostname"] == "rabbitmq"


def test_workers_reach_the_virtual_host_of_the_definitions(services: dict[str, Any]) -> None:
    definitions = json.loads(composition(example_environment())["configs"]["rabbitmq-definitions"]["content"])
    address = urlsplit(services["worker"]["environment"]["AMQP_URL"])
    logins = {(user["name"], user["password"]) for user in definitions["users"]}
    assert (address.username, address.password) in logins
    assert {"name": address.path.removeprefix("/")} in definitions["vhosts"]
    assert {permission["user"] for permission in definitions["permissions"]} == {"admin", "worker"}
    assert not {"queues", "exchanges", "bindings"} & set(definitions), "workers declare their own"
