"""``compose.yaml`` as Docker Compose reads it: merged, with its variables replaced."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.yaml_documents import document

ROOT = Path(__file__).resolve().parents[2]

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?:(?P<rule>:-|:\?)(?P<text>[^}]*))?\}")


class VariableMissing(Exception):
    """Raised by ``composition``: a required variable is not set; the text is Compose's."""


def raw_composition() -> dict[str, Any]:
    """Return the file with its variables not replaced."""
    loaded: dict[str, Any] = document((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def composition(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the file as Compose reads it in an environment.

    Raises:
        VariableMissing: The environment lacks a required variable.
    """
    replaced: dict[str, Any] = _replaced(raw_composition(), environment)
    return replaced


def example_environment() -> dict[str, str]:
    """Return the variables that ``.env.example`` sets."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variables() -> dict[str, bool]:
    """Return every variable that the file reads, and whether it is required."""
    found: dict[str, bool] = {}
    for match in _VARIABLE.finditer((ROOT / "compose.yaml").read_text(encoding="utf-8")):
        if match["name"]:
            found[match["name"]] = found.get(match["name"], False) or match["rule"] == ":?"
    return found


def _replaced(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(member, environment) for key, member in value.items()}
    if isinstance(value, list):
        return [_replaced(member, environment) for member in value]
    return _VARIABLE.sub(lambda match: _value(match, environment), value) if isinstance(value, str) else value


def _value(match: re.Match[str], environment: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    if value := environment.get(match["name"]):
        return value
    if match["rule"] == ":-":
        return match["text"]
    raise VariableMissing(f"{match['name']}: {match['text']}")
