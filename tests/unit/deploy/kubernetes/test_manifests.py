"""The manifests are valid: kustomize can build them, and a cluster would accept every object."""

import json
import re
import shutil
import subprocess
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.yaml_documents import documents
from tests.unit.deploy.kubernetes.kustomization import BASE, EXAMPLE, KustomizationError, Manifest, build, named
from tests.unit.deploy.kubernetes.schemas import SchemaError, validate

_OBJECTS = [
    ("Cluster", "database"),
    ("ConfigMap", "worker-settings"),
    ("CronJob", "worker-prune"),
    ("Deployment", "console"),
    ("Deployment", "follower"),
    ("Deployment", "worker"),
    ("Job", "worker-migrate"),
    ("Namespace", "dynamic-streams"),
    ("NetworkPolicy", "worker"),
    ("NetworkPolicy", "worker-to-broker-and-collector"),
    ("NetworkPolicy", "worker-to-database"),
    ("PodDisruptionBudget", "broker"),
    ("PodDisruptionBudget", "worker"),
    ("RabbitmqCluster", "broker"),
    ("ScaledObject", "worker"),
    ("ServiceAccount", "worker"),
    ("TriggerAuthentication", "broker"),
]


@pytest.fixture
def example() -> list[Manifest]:
    return build(EXAMPLE)


def test_the_example_is_complete(example: list[Manifest]) -> None:
    assert sorted((manifest["kind"], manifest["metadata"]["name"]) for manifest in example) == _OBJECTS


@pytest.mark.parametrize("folder", [BASE, EXAMPLE], ids=lambda folder: folder.name)
def test_a_cluster_would_accept_every_object(folder: Path) -> None:
    for manifest in build(folder):
        validate(manifest)


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("Deployment", "worker", ("spec", "template", "spec", "terminationGraceSeconds"), 60),
        ("PodDisruptionBudget", "worker", ("spec", "maxUnavailable"), [1]),
        ("ScaledObject", "worker", ("spec", "maxReplicas"), 10),
        ("TriggerAuthentication", "broker", ("spec", "secretTargetRef"), {"name": "broker-default-user"}),
        ("Cluster", "database", ("spec", "postgresql", "synchronous", "dataDurability"), "best"),
        ("Cluster", "database", ("spec", "bootstrap", "initdb", "databaseName"), "dynamic_streams"),
        ("RabbitmqCluster", "broker", ("spec", "replicas"), "3"),
    ],
)
def test_the_schemas_refuse_invalid_manifests(
    example: list[Manifest], kind: str, name: str, path: tuple[str, ...], value: Any
) -> None:
    manifest = deepcopy(named(example, kind, name))
    *way, last = path
    part = manifest
    for step in way:
        part = part[step]
    part[last] = value
    with pytest.raises(SchemaError):
        validate(manifest)


def test_a_kind_without_a_schema_is_refused() -> None:
    with pytest.raises(SchemaError):
        validate({"apiVersion": "example.org/v1", "kind": "Nothing", "metadata": {"name": "nothing"}})


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("- database.yaml", "- databases.yaml", "databases.yaml does not exist"),
        ("- database.yaml", "", "no resource names {'database.yaml'}"),
        ("- path: worker.yaml", "- path: worker.yaml\n    target: {kind: Job}", "a patch is a path here"),
        ("name: dynamic-streams-worker", "name: another", "no container has the image another"),
        ("name: worker-settings", "name: settings", "there is no ConfigMap settings"),
        ("resources:", "secretGenerator: []\nresources:", "{'secretGenerator'} is not known here"),
        ("- namespace.yaml", "- namespace.yaml\n  - namespace.yaml", "an object is there twice"),
    ],
)
def test_an_invalid_kustomization_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    shutil.copytree(BASE.parent, tmp_path / "kubernetes")
    folder = tmp_path / "kubernetes" / EXAMPLE.relative_to(BASE.parent)
    text = (folder / "kustomization.yaml").read_text()
    assert old in text
    (folder / "kustomization.yaml").write_text(text.replace(old, new))
    with pytest.raises(KustomizationError, match=re.escape(complaint)):
        build(folder)


def test_a_patch_without_its_target_is_refused(tmp_path: Path) -> None:
    shutil.copytree(BASE.parent, tmp_path / "kubernetes")
    folder = tmp_path / "kubernetes" / EXAMPLE.relative_to(BASE.parent)
    (folder / "worker.yaml").write_text((folder / "worker.yaml").read_text().replace("name: worker\n", "name: other\n"))
    with pytest.raises(KustomizationError, match="there is no Deployment other"):
        build(folder)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", [BASE, EXAMPLE], ids=lambda folder: folder.name)
def test_kustomize_builds_the_same(folder: Path) -> None:
    command = ["kubectl", "kustomize", str(folder)]
    built = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # kustomize appends a hash of the content to the names of generated objects.
    without_hash = re.sub(r"\b(worker-settings)-[a-z0-9]{10}\b", r"\1", built)
    assert _sorted(documents(without_hash)) == _sorted(build(folder))


def _sorted(value: Any) -> Any:
    """Sort mappings and lists of objects, whose order does not matter to a cluster."""
    if isinstance(value, dict):
        return {key: _sorted(member) for key, member in value.items()}
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        members = [_sorted(member) for member in value]
        if all(isinstance(member, dict) for member in members):
            members.sort(key=partial(json.dumps, sort_keys=True))
        return members
    return value
