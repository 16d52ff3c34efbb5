"""Reads YAML with libyaml where PyYAML has it; the loader in Python takes ten times as long."""

from typing import Any

import yaml

__all__ = ["document", "documents"]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(text: str) -> list[Any]:
    """Return all documents of a text."""
    return list(yaml.load_all(text, _LOADER))


def document(text: str) -> Any:
    """Return the only document of a text."""
    (found,) = documents(text)
    return found
