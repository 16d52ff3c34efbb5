"""The worker's pods match the program: its settings, probes, time to stop and user."""

import re
from pathlib import PurePosixPath
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.composition import ROOT, composition, example_environment
from tests.unit.deploy.kubernetes.kustomization import BASE, EXAMPLE, Manifest, build, named, pod_template
from worker.cli.app import app
from worker.credentials import file_variable
from worker.settings import IN_FILES, Settings
from worker.supervision.probe import LIVE_PATH, READY_PATH
from worker.supervision.supervisor import RestartLimits

_WORKER, _MIGRATION, _PRUNING = ("Deployment", "worker"), ("Job", "worker-migrate"), ("CronJob", "worker-prune")
_FOLLOWER, _CONSOLE = ("Deployment", "follower"), ("Deployment", "console")
_PODS = [_WORKER, _FOLLOWER, _CONSOLE, _MIGRATION, _PRUNING]


@pytest.fixture(params=[BASE, EXAMPLE], ids=["base", "example"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return build(request.param)


@pytest.fixture
def settings(manifests: list[Manifest]) -> dict[str, str]:
    found: dict[str, str] = named(manifests, "ConfigMap", "worker-settings")["data"]
    return found


def pod(manifests: list[Manifest], kind: str = "Deployment", name: str = "worker") -> Manifest:
    found: Manifest = pod_template(named(manifests, kind, name))["spec"]
    return found


def container(pod: Manifest) -> Manifest:
    (only,) = pod["containers"]
    found: Manifest = only
    return found


def variables(manifests: list[Manifest], kind: str, name: str) -> dict[str, str]:
    """The environment variables of a container."""
    found: dict[str, str] = {}
    described = container(pod(manifests, kind, name))
    for source in described.get("envFrom", ()):
        found |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {variable["name"]: variable["value"] for variable in described.get("env", ())}


def mounted(pod: Manifest) -> dict[str, tuple[str, str]]:
    """The Secret and key of each file mounted in a container, by path."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    files = {}
    for mount in container(pod)["volumeMounts"]:
        for source in volumes[mount["name"]].get("projected", {}).get("sources", ()):
            for item in source["secret"]["items"]:
                path = str(PurePosixPath(mount["mountPath"]) / item["path"])
                assert path not in files
                files[path] = (source["secret"]["name"], item["key"])
    return files


@pytest.mark.parametrize(("kind", "name"), _PODS)
def test_every_variable_is_a_setting_or_belongs_to_a_library(manifests: list[Manifest], kind: str, name: str) -> None:
    known = {field.upper() for field in Settings.described()} | {file_variable(field) for field in IN_FILES}
    of_libraries = {"PGSSLMODE", "PGSSLROOTCERT"}
    found = set(variables(manifests, kind, name))
    assert found
    assert {variable for variable in found - known - of_libraries if not variable.startswith("OTEL_")} == set()


def test_the_settings_accept_the_values(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in settings.items():
        if not variable.endswith("_FILE"):
            monkeypatch.setenv(variable, value)
    loaded = Settings.load(needs=())
    assert {name for name in Settings.described() if name.upper() in settings} == {
        name for name in Settings.described() if loaded.origin(name) == "environment"
    }


@pytest.mark.parametrize(("kind", "name"), _PODS)
def test_exactly_the_named_files_are_mounted(manifests: list[Manifest], kind: str, name: str) -> None:
    values = variables(manifests, kind, name)
    files = mounted(pod(manifests, kind, name))
    assert {value for value in values.values() if value.startswith("/")} == set(files)
    assert {variable for variable in values if variable.endswith("_FILE")} == (
        {"DATABASE_URL_FILE", "DATABASE_REPLICA_URLS_FILE", "AMQP_URL_FILE"}
        if kind == "Deployment"
        else {"DATABASE_ADMIN_URL_FILE"}
    )


def test_the_manifests_contain_no_passwords_and_no_secrets() -> None:
    for path in sorted(BASE.parent.rglob("*.yaml")):
        text = path.read_text()
        assert not re.search(r"://[^/\s]*@", text), path
        assert not re.search(r"^kind: Secret$", text, re.MULTILINE), path


def test_workers_have_no_administrators_password_and_no_private_key() -> None:
    for folder in (BASE, EXAMPLE):
        secrets = mounted(pod(build(folder))).values()
        assert not {"worker-admin", "database-app"} & {secret for secret, _ in secrets}
        assert not [key for _, key in secrets if key.endswith(".key")]


def test_only_the_workers_user_can_read_the_mounted_secrets(manifests: list[Manifest]) -> None:
    for kind, name in _PODS:
        found = pod(manifests, kind, name)
        (volume,) = (volume for volume in found["volumes"] if volume["name"] == "credentials")
        assert volume["projected"]["defaultMode"] == 0o440
        assert found["securityContext"]["fsGroup"] == found["securityContext"]["runAsGroup"]


def test_probes_request_paths_of_the_health_server(manifests: list[Manifest], settings: dict[str, str]) -> None:
    described = container(pod(manifests))
    ports = {port["name"]: str(port["containerPort"]) for port in described["ports"]}
    paths = {}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        request = described[probe]["httpGet"]
        assert ports[request["port"]] == settings["WORKER_HEALTH_PORT"]
        assert request.get("scheme", "HTTP") == "HTTP"
        paths[probe] = request["path"]
    assert paths == {"startupProbe": LIVE_PATH, "livenessProbe": LIVE_PATH, "readinessProbe": READY_PATH}
    # Probes come from outside the container.
    assert settings["WORKER_HEALTH_HOST"] == "0.0.0.0"  # noqa: S104  probes reach the pod's address only


def test_a_worker_may_drain_before_it_is_killed(manifests: list[Manifest], settings: dict[str, str]) -> None:
    grace = pod(manifests)["terminationGracePeriodSeconds"]
    assert grace >= float(settings["WORKER_DRAIN_DEADLINE"]) + RestartLimits().end


def test_the_image_is_the_one_that_is_built() -> None:
    built = composition(example_environment())["services"]["worker"]["image"]
    assert f"docker build --tag {built} ." in (ROOT / "Dockerfile").read_text()
    for kind, name in _PODS:
        assert container(pod(build(BASE), kind, name))["image"] == built
        registry, slash, rest = container(pod(build(EXAMPLE), kind, name))["image"].rpartition("/")
        assert (registry, slash) == ("registry.example", "/")
        # Never "latest": the version would depend on when a pod was started.
        assert re.fullmatch(rf"{built}:\d+\.\d+\.\d+", rest)


def test_commands_are_the_images(manifests: list[Manifest]) -> None:
    services: dict[str, Any] = composition(example_environment())["services"]
    offered = {_WORKER: "worker", _FOLLOWER: "follow", _MIGRATION: "migrate"}
    for (kind, name), service in offered.items():
        assert container(pod(manifests, kind, name))["args"] == services[service]["command"]
    for kind, name in _PODS:
        assert "command" not in container(pod(manifests, kind, name))  # ``command`` would replace the entry point


def test_the_console_is_optional_and_not_reachable_from_other_pods(manifests: list[Manifest]) -> None:
    assert named(manifests, *_CONSOLE)["spec"]["replicas"] == 0
    described = container(pod(manifests, *_CONSOLE))
    # It listens only inside the pod, and so needs no password.
    assert described["args"] == ["console"]
    assert "ports" not in described


def test_pruning_is_optional_and_uses_valid_options(manifests: list[Manifest]) -> None:
    job = named(manifests, *_PRUNING)["spec"]
    assert job["suspend"] is True
    assert job["concurrencyPolicy"] == "Forbid"
    described = container(pod(manifests, *_PRUNING))
    command = CliRunner().invoke(app, [*described["args"], "--help"])
    assert command.exit_code == 0, command.output
    # The job has no terminal for a confirmation.
    assert described["args"] == ["db", "prune", "--older-than", "90d", "--yes"]
    # The owner's address is mounted as in the migration.
    migration = pod(manifests, *_MIGRATION)
    assert pod(manifests, *_PRUNING)["volumes"] == migration["volumes"]
    assert described["env"] == container(migration)["env"]


@pytest.mark.parametrize(("kind", "name"), _PODS)
def test_pods_are_restricted(manifests: list[Manifest], kind: str, name: str) -> None:
    found = pod(manifests, kind, name)
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    assert found["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[2]),
        "fsGroup": int(user[2]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(found)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert found["automountServiceAccountToken"] is False
    # A service "worker-health" would set WORKER_HEALTH_PORT to tcp://…
    assert found["enableServiceLinks"] is False
    assert {"requests", "limits"} == set(container(found)["resources"])
    assert "memory" in container(found)["resources"]["limits"]


def test_old_workers_stay_until_new_ones_are_ready(manifests: list[Manifest]) -> None:
    strategy = named(manifests, "Deployment", "worker")["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"
    assert strategy["rollingUpdate"]["maxUnavailable"] == 0


def test_selectors_of_workers_match_exactly_the_workers(manifests: list[Manifest]) -> None:
    deployment = named(manifests, "Deployment", "worker")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    selectors = [deployment["selector"], named(manifests, "PodDisruptionBudget", "worker")["spec"]["selector"]]
    selectors += [spread["labelSelector"] for spread in pod(manifests)["topologySpreadConstraints"]]
    for selector in selectors:
        assert selector["matchLabels"].items() <= labels
        # The pods of the migration and of the pruning must not be selected as workers.
        for kind, name in (_MIGRATION, _PRUNING):
            others = pod_template(named(manifests, kind, name))["metadata"]["labels"]
            assert not selector["matchLabels"].items() <= others.items()


def test_nodes_can_be_drained_while_the_database_is_down(manifests: list[Manifest]) -> None:
    budget = named(manifests, "PodDisruptionBudget", "worker")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def _selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a policy selects pods with these labels."""
    expressions = selector.get("matchExpressions", ())
    assert {each["operator"] for each in expressions} <= {"In"}
    within = all(labels.get(each["key"]) in each["values"] for each in expressions)
    return within and selector["matchLabels"].items() <= labels.items()


def test_network_policies_refuse_ingress_and_name_all_egress() -> None:
    manifests = build(EXAMPLE)
    policies = [manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    assert not [rule for policy in policies for rule in policy.get("ingress", ())]
    isolated = named(manifests, "NetworkPolicy", "worker")["spec"]
    assert set(isolated["policyTypes"]) == {"Ingress", "Egress"}
    for kind, name in _PODS:
        labels = pod_template(named(manifests, kind, name))["metadata"]["labels"]
        reached = {
            port["port"]
            for policy in policies
            if _selects(policy["podSelector"], labels)
            for rule in policy["egress"]
            for port in rule["ports"]
            if rule["to"]
        }
        assert isolated["podSelector"]["matchLabels"].items() <= labels.items()
        assert reached == ({53, 5432, 5672, 4317} if kind == "Deployment" else {53, 5432})


def test_every_client_verifies_postgresqls_certificate() -> None:
    manifests = build(EXAMPLE)
    for kind, name in _PODS:
        values = variables(manifests, kind, name)
        assert values["PGSSLMODE"] == "verify-full"
        secret = mounted(pod(manifests, kind, name))[values["PGSSLROOTCERT"]]
        assert secret == ("database-ca", "ca.crt")
