"""The examples of ``docs/deployment.md`` match the project: commands, image, overlay and Secrets."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.composition import ROOT, composition, example_environment
from tests.unit.deploy.kubernetes.kustomization import BASE, Manifest, build, named, pod_template
from tests.unit.deploy.kubernetes.schemas import validate
from worker.cli.app import app
from worker.settings import Settings

_GUIDE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
_CALL = re.compile(
    r"^\$ (?:docker compose exec (?P<service>\w+) worker|docker compose run --rm (?P<job>\w+)"
    r"|kubectl .*exec deploy/(?P<deployment>\w+) -- worker) (?P<arguments>.*?)(?: +#.*)?$",
    re.MULTILINE,
)


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _GUIDE, re.DOTALL)


def _parsed(arguments: list[str]) -> bool:
    """Whether the program accepts a command and its options: with ``--help``, they are parsed but not run."""
    return CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0


def test_commands_in_containers_exist() -> None:
    services: dict[str, Any] = composition(example_environment())["services"]
    calls = list(_CALL.finditer(_GUIDE))
    assert len(calls) == 6
    for call in calls:
        arguments = shlex.split(call["arguments"])
        assert _parsed(arguments), arguments
        assert (call["service"] or call["job"] or call["deployment"]) in services
        # Only the migration's service has the owner's address.
        assert (call["job"] is not None) == (arguments[0] == "db")
    assert not _parsed(["db", "prune", "--oldest", "90d"])
    assert not _parsed(["db", "trim"])


def test_a_domains_image_is_based_on_ours() -> None:
    (recipe,) = _blocks("dockerfile")
    environment = composition(example_environment())["services"]["worker"]
    assert re.search(r"^FROM (\S+)$", recipe, re.MULTILINE)[1] == environment["image"]  # type: ignore[index]
    assert f"docker build --tag {environment['image']} .\n" in _GUIDE
    copied = re.search(r"^COPY \S+ (\S+)/(\w+)$", recipe, re.MULTILINE)
    assert copied is not None
    # Python imports packages from this folder.
    assert f"PYTHONPATH={copied[1]} " in recipe
    assert f"WORKER_DOMAINS={copied[2]}." in recipe
    # The user and the entry point are inherited from the base image.
    assert not re.search(r"^(USER|ENTRYPOINT|CMD)", recipe, re.MULTILINE)


def test_the_overlay_for_existing_servers_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(BASE.parent, tmp_path / "kubernetes")
    folder = tmp_path / "kubernetes" / "overlays" / "own"
    folder.mkdir()
    for block in _blocks("yaml"):
        name = re.match(r"# (\S+\.yaml)\n", block)
        assert name is not None
        (folder / name[1]).write_text(block)
    manifests = build(folder)
    for manifest in manifests:
        validate(manifest)
    assert _reached(manifests, "Deployment", "worker") == {53, 5432, 5672, 4317}
    assert 5432 in _reached(manifests, "Job", "worker-migrate")
    for variable, value in named(manifests, "ConfigMap", "worker-settings")["data"].items():
        if not variable.endswith("_FILE"):
            monkeypatch.setenv(variable, value)
    assert Settings.load(needs=()).worker_domains == "shop.orders:domain"


def test_the_secrets_have_the_mounted_keys() -> None:
    manifests = build(BASE)
    made = {
        name: set(re.findall(r"--from-literal (\w+)=", arguments))
        for name, arguments in re.findall(r"create secret generic (\S+) ((?:.*\\\n)*.*)", _GUIDE)
    }
    for kind, name in (("Deployment", "worker"), ("Job", "worker-migrate"), ("CronJob", "worker-prune")):
        for volume in pod_template(named(manifests, kind, name))["spec"]["volumes"]:
            for source in volume.get("projected", {}).get("sources", ()):
                secret = source["secret"]
                assert {item["key"] for item in secret["items"]} == made[secret["name"]]


def _reached(manifests: list[Manifest], kind: str, name: str) -> set[int]:
    labels = pod_template(named(manifests, kind, name))["metadata"]["labels"]
    return {
        port["port"]
        for manifest in manifests
        if manifest["kind"] == "NetworkPolicy"
        and manifest["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        for rule in manifest["spec"]["egress"]
        for port in rule["ports"]
    }
