"""The part of kustomize that ``deploy/kubernetes`` uses: builds the manifests of a folder.

It refuses every other feature, so that no manifest relies on something untested.
"""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.support.composition import ROOT
from tests.support.yaml_documents import documents

__all__ = ["BASE", "EXAMPLE", "KustomizationError", "Manifest", "build", "named", "pod_template"]

Manifest = dict[str, Any]

BASE = ROOT / "deploy" / "kubernetes" / "base"
EXAMPLE = ROOT / "deploy" / "kubernetes" / "overlays" / "example"

_HEAD = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
_KEYS = {*_HEAD, "namespace", "resources", "patches", "images", "configMapGenerator"}
_WITHOUT_NAMESPACE = {"Namespace"}
# The merge keys of lists in a strategic merge; every other list is replaced as a whole.
_MERGE_KEYS = {"containers": "name", "volumes": "name", "env": "name", "volumeMounts": "mountPath"}


class KustomizationError(Exception):
    """Raised by ``build``: kustomize would refuse the folder or ignore a part of it."""


def build(folder: Path) -> list[Manifest]:
    """Return the manifests of a folder.

    The names of generated ConfigMaps have no hash.

    Raises:
        KustomizationError: The folder is invalid, or uses an unsupported feature.
    """
    kustomization = _loaded(folder / "kustomization.yaml")[0]
    _require(kustomization.items() >= _HEAD.items(), f"{folder}: no kustomization")
    _require(set(kustomization) <= _KEYS, f"{folder}: {set(kustomization) - _KEYS} is not known here")
    manifests: list[Manifest] = []
    for resource in kustomization["resources"]:
        path = folder / resource
        _require(path.exists(), f"{path} does not exist")
        manifests += build(path.resolve()) if path.is_dir() else _loaded(path)
    for generator in kustomization.get("configMapGenerator", ()):
        _generate(manifests, generator)
    for patch in kustomization.get("patches", ()):
        _require(set(patch) == {"path"}, f"{folder}: a patch is a path here")
        for part in _loaded(folder / patch["path"]):
            target = named(manifests, part["kind"], part["metadata"]["name"])
            _require(target["apiVersion"] == part["apiVersion"], f"{patch['path']}: another version of its target")
            _merge(target, part)
    for image in kustomization.get("images", ()):
        _replace_image(manifests, image)
    if namespace := kustomization.get("namespace"):
        for manifest in manifests:
            if manifest["kind"] not in _WITHOUT_NAMESPACE:
                manifest["metadata"]["namespace"] = namespace
    identities = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    _require(len(identities) == len(set(identities)), f"{folder}: an object is there twice")
    listed = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", ()))}
    forgotten = {path.name for path in folder.glob("*.yaml")} - listed - {"kustomization.yaml"}
    _require(not forgotten, f"{folder}: no resource names {forgotten}")
    return manifests


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the one manifest of a kind and name.

    Raises:
        KustomizationError: It does not exist.
    """
    for manifest in manifests:
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name):
            return manifest
    raise KustomizationError(f"there is no {kind} {name}")


def pod_template(manifest: Manifest) -> Manifest:
    """Return the pod template of a manifest; an empty one if it has none."""
    spec = manifest.get("spec", {})
    template: Manifest = spec.get("jobTemplate", {}).get("spec", spec).get("template", {})
    return template


def _generate(manifests: list[Manifest], generator: dict[str, Any]) -> None:
    _require(set(generator) <= {"name", "behavior", "literals"}, f"{generator} is not known here")
    pairs = [literal.partition("=")[::2] for literal in generator["literals"]]
    _require(len(dict(pairs)) == len(pairs), f"{generator['name']}: a setting is there twice")
    match generator.get("behavior", "create"):
        case "create":
            metadata = {"name": generator["name"]}
            manifests.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(pairs)})
        case "merge":
            named(manifests, "ConfigMap", generator["name"])["data"].update(pairs)
        case other:
            raise KustomizationError(f"behavior {other} is not known here")


def _merge(target: Manifest, part: Manifest) -> None:
    for key, value in part.items():
        present = target.get(key)
        if isinstance(value, dict) and isinstance(present, dict):
            _merge(present, value)
        elif isinstance(value, list) and isinstance(present, list) and (identity := _MERGE_KEYS.get(key)):
            by_identity = {member[identity]: member for member in present}
            for member in value:
                if member[identity] in by_identity:
                    _merge(by_identity[member[identity]], member)
                else:
                    present.append(deepcopy(member))
        else:
            target[key] = deepcopy(value)


def _replace_image(manifests: list[Manifest], image: dict[str, str]) -> None:
    _require(set(image) == {"name", "newName", "newTag"}, f"{image} is not known here")
    found = 0

    def replace(container: Manifest) -> None:
        nonlocal found
        if container["image"] == image["name"]:
            container["image"] = f"{image['newName']}:{image['newTag']}"
            found += 1

    for manifest in manifests:
        _each_container(manifest, replace)
    _require(found > 0, f"no container has the image {image['name']}")


def _each_container(manifest: Manifest, act: Callable[[Manifest], None]) -> None:
    pod = pod_template(manifest).get("spec", {})
    for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
        act(container)


def _loaded(path: Path) -> list[Manifest]:
    return documents(path.read_text(encoding="utf-8"))


def _require(condition: bool, otherwise: str) -> None:  # noqa: FBT001  it is an assertion
    if not condition:
        raise KustomizationError(otherwise)
