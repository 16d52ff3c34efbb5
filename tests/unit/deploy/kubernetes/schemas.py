"""Validates manifests as a cluster's API server does."""

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]

from tests.support.yaml_documents import document
from tests.unit.deploy.kubernetes.kustomization import Manifest

__all__ = ["SchemaError", "validate"]

_VERSION = "1.37"
_DEFINITIONS = Path(__file__).with_name("crds")


class SchemaError(Exception):
    """Raised by ``validate``: the manifest violates its schema, or has none."""


def validate(manifest: Manifest) -> None:
    """Validate a manifest against its kind's schema. An unknown field is an error.

    Raises:
        SchemaError: The manifest is invalid, or its kind and version have no schema.
    """
    if schema := _custom().get((manifest["apiVersion"], manifest["kind"])):
        try:
            jsonschema.Draft202012Validator(schema).validate(manifest)
        except jsonschema.ValidationError as error:
            raise SchemaError(str(error)) from error
        return
    try:
        kubernetes_validate.validate(manifest, _VERSION, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        raise SchemaError(str(error)) from error


@cache
def _custom() -> dict[tuple[str, str], dict[str, Any]]:
    """The schemas of custom resources, by version and kind."""
    schemas = {}
    for path in _DEFINITIONS.glob("*.yaml"):
        definition = document(path.read_text(encoding="utf-8"))["spec"]
        for version in definition["versions"]:
            api = f"{definition['group']}/{version['name']}"
            schemas[api, definition["names"]["kind"]] = _closed(version["schema"]["openAPIV3Schema"])
    return schemas


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Refuse unknown fields. The API server would drop them with a warning."""
    schema = dict(schema)
    if isinstance(properties := schema.get("properties"), dict):
        schema["properties"] = {name: _closed(member) for name, member in properties.items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _closed(schema[key])
    return schema
