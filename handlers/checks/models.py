"""The model check: refuses commands and events that would not be read as they were written."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from handlers.model import DomainEvent

__all__ = ["model_problems"]

# What JSON holds just so: a field that is strict about these reads what it wrote.
_EXACT = frozenset({"str", "bool", "int"})
_FIELDS = frozenset({"model-field", "dataclass-field", "typed-dict-field"})
_NO_SCHEMA = frozenset({"metadata", "cls", "config", "ref", "default", "expected", "serialization", "computed_fields"})


def model_problems(model: type[BaseModel]) -> Iterator[str]:
    """Iterate over what keeps a command or an event from being read as it was written, a sentence each."""
    model.model_rebuild(raise_errors=False)
    schema = model.__pydantic_core_schema__
    if isinstance(schema, Mapping):
        for node, place, written in _nodes(schema, model.__name__, written=False):
            yield from _node_problems(node, place, written=written)
            if node.get("type") in _FIELDS:
                yield from _field_problems(node, place, is_event=issubclass(model, DomainEvent))


def _nodes(node: Any, place: str, *, written: bool) -> Iterator[tuple[Mapping[str, Any], str, bool]]:
    """Walk through pydantic's own description of a model.

    Args:
        node: A part of the description.
        place: Which model or field it describes.
        written: Whether a function of the model's own says how it is written.

    Returns:
        Each part, with its place, and whether it is written by such a function.
    """
    if isinstance(node, list | tuple):
        for each in node:
            yield from _nodes(each, place, written=written)
    if not isinstance(node, Mapping):
        return
    if isinstance(owner := node.get("cls"), type) and node.get("type") in {"model", "dataclass", "typed-dict"}:
        place = owner.__name__
    written = written or str(node.get("serialization", {}).get("type", "")).startswith("function")
    yield node, place, written
    for name, inner in node.items():
        if name == "fields":
            for field, described in _fields(inner):
                yield from _nodes(described, f"{place}.{field}", written=written)
        elif name not in _NO_SCHEMA:
            yield from _nodes(inner, place, written=written)


def _fields(described: Any) -> Iterable[tuple[str, Any]]:
    """By name for models; for dataclasses a list, and their bare names beside it."""
    if isinstance(described, Mapping):
        return described.items()
    return [(field["name"], field) for field in described if isinstance(field, Mapping)]


def _node_problems(node: Mapping[str, Any], place: str, *, written: bool) -> Iterator[str]:
    kind = node.get("type")
    if kind == "bytes" and not written:
        yield f"{place} holds bytes, which are written as base64 and read as text; use a str"
    config = node.get("config")
    if (isinstance(config, Mapping) and config.get("strict")) or (node.get("strict") and kind not in _EXACT):
        yield f"{place} is strict, and would not read back what JSON writes as text; leave strict out"


def _field_problems(field: Mapping[str, Any], place: str, *, is_event: bool) -> Iterator[str]:
    if is_event and field.get("serialization_exclude"):
        yield f"{place} is left out when it is written"
        return
    name = place.rpartition(".")[2]
    writes = field.get("serialization_alias", name)
    reads = list(_read_names(field.get("validation_alias", name)))
    if writes not in reads:
        yield f"{place} is written as {writes} and read as {' or '.join(reads) or 'a path'}; give it one alias"


def _read_names(alias: Any) -> Iterator[str]:
    if isinstance(alias, str):
        yield alias
        return
    paths = alias if alias and isinstance(alias[0], list) else [alias]
    for path in paths:
        if len(path) == 1:
            yield str(path[0])
