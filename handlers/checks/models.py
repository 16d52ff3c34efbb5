"""The model check: refuses commands and events that would not read back as they were written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from handlers.checks.written_fields import field_problems, fields_of, namesakes
from handlers.checks.written_values import unread_values
from handlers.model import DomainEvent

__all__ = ["model_problems"]

# Types that JSON represents exactly: a strict field of these reads back what it wrote.
_EXACT = frozenset({"str", "bool", "int", "float", "list", "dict"})
_FIELDS = frozenset({"model-field", "dataclass-field", "typed-dict-field"})
_HOLDERS = frozenset({"model-fields", "dataclass-args", "typed-dict"})
_NO_SCHEMA = frozenset({"metadata", "cls", "config", "ref", "default", "expected", "serialization", "computed_fields"})
_VALIDATORS = frozenset({"function-after", "function-before", "function-wrap", "function-plain"})
# Alternative descriptions, of which another one may be used for reading.
_ALTERNATIVES = frozenset({"choices", "strict_schema", "json_schema"})
# Types that an event cannot hold, by pydantic's name, each with its description and a replacement.
_UNRECORDED = {
    "url": ("a URL", "a str"),
    "multi-host-url": ("a URL", "a str"),
    "complex": ("a complex number", "two floats"),
    "deque": ("a deque", "a tuple"),
    "generator": ("an Iterable", "a tuple"),
    "json": ("a Json, which is read from a text and written as what the text says", "what it says"),
    "callable": ("a function", "its name"),
    "is-subclass": ("a class", "its name"),
}
_UNRECORDED_CLASSES = (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    SecretStr,
    SecretBytes,
)
# Types that cannot be a key of a JSON object, or are not read back from one.
_NO_KEYS = frozenset(
    {"bool", "decimal", "none", "nullable", "tuple", "set", "frozenset", "list", "dict", "model", "dataclass"}
)


@dataclass(frozen=True, slots=True)
class _Where:
    """The position of a part in the description of a model.

    Attributes:
        place: The model or field.
        is_event: Whether it is a part of an event.
        written: Whether the domain's own function serializes it; by default False.
        validated: Whether the domain's own validator may have converted it; by default False.
        is_one_of_several: Whether it is one of several alternatives for reading; by default False.
    """

    place: str
    is_event: bool
    written: bool = False
    validated: bool = False
    is_one_of_several: bool = False


def model_problems(model: type[BaseModel]) -> Iterator[str]:
    """Iterate over the reasons why a command or event would not read back as it was written, each as a sentence."""
    model.model_rebuild(raise_errors=False)
    schema = model.__pydantic_core_schema__
    if isinstance(schema, Mapping):
        for node, where in _Description(schema).nodes(_Where(model.__name__, issubclass(model, DomainEvent))):
            yield from _node_problems(node, where)
            if not (where.written or where.validated):
                yield from unread_values(node, where.place, is_one_of_several=where.is_one_of_several)
            if where.is_event and not where.written:
                yield from _unrecorded(node, where)
            if node.get("type") in _FIELDS:
                yield from field_problems(node, where.place, is_event=where.is_event)
            if node.get("type") in _HOLDERS and not where.written:
                yield from namesakes(node, where.place)


class _Description:
    """Pydantic's core schema of a model, traversed with the position of each part.

    Args:
        schema: The core schema.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        # Schemas that are used in several places, or that contain themselves, are defined separately.
        self._named: dict[str, Any] = {}
        self._seen: set[tuple[str, bool, bool, bool]] = set()

    def nodes(self, where: _Where) -> Iterator[tuple[Mapping[str, Any], _Where]]:
        """Iterate over each part with its position.

        Args:
            where: The position of the whole schema.
        """
        return self._walked(self._schema, where)

    def _walked(self, node: Any, where: _Where) -> Iterator[tuple[Mapping[str, Any], _Where]]:
        if isinstance(node, list | tuple):
            for each in node:
                yield from self._walked(each, where)
        if not isinstance(node, Mapping):
            return
        where = _of(node, where)
        if node.get("type") == "definitions":
            self._named.update((each["ref"], each) for each in node["definitions"])
            yield from self._walked(node["schema"], where)
        elif node.get("type") == "definition-ref":
            use = (node["schema_ref"], where.written, where.validated, where.is_one_of_several)
            if use not in self._seen:
                self._seen.add(use)
                yield from self._walked(self._named[use[0]], where)
        else:
            yield node, where
            yield from self._inside(node, where)

    def _inside(self, node: Mapping[str, Any], where: _Where) -> Iterator[tuple[Mapping[str, Any], _Where]]:
        if node.get("type") in _VALIDATORS and not _is_pydantics(node["function"]["function"]):
            where = replace(where, validated=True)
        for name, inner in node.items():
            if name == "fields":
                for field, described in fields_of(inner):
                    yield from self._walked(described, replace(where, place=f"{where.place}.{field}"))
            elif name not in _NO_SCHEMA:
                is_one = where.is_one_of_several or name in _ALTERNATIVES
                yield from self._walked(inner, replace(where, is_one_of_several=is_one))


def _of(node: Mapping[str, Any], where: _Where) -> _Where:
    """Return the position of a part, given that of its parent."""
    if isinstance(owner := node.get("cls"), type) and node.get("type") in {"model", "dataclass", "typed-dict"}:
        where = replace(where, place=owner.__name__)
    if _is_written(node.get("serialization", {}), is_event=where.is_event):
        where = replace(where, written=True)
    return where


def _is_written(serialization: Mapping[str, Any], *, is_event: bool) -> bool:
    """Return whether the domain's own function serializes a part. Serializers for JSON mode do not apply to events."""
    if not str(serialization.get("type", "")).startswith("function") or _is_pydantics(serialization["function"]):
        return False
    return not (is_event and serialization.get("when_used", "always").startswith("json"))


def _is_pydantics(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("pydantic.")


def _node_problems(node: Mapping[str, Any], where: _Where) -> Iterator[str]:
    kind = node.get("type")
    if kind == "bytes" and not where.written:
        yield f"{where.place} holds bytes, which are written as base64 and read as text; use a str"
    if where.is_event and node.get("now_op") == "future":
        yield f"{where.place} must lie in the future whenever it is read, and will not; check it where it is decided"
    config = node.get("config")
    if (isinstance(config, Mapping) and config.get("strict")) or (node.get("strict") and kind not in _EXACT):
        yield f"{where.place} is strict, and would not read back what JSON holds as something else; leave strict out"


def _unrecorded(node: Mapping[str, Any], where: _Where) -> Iterator[str]:
    """Iterate over the reasons why an event cannot hold a part."""
    kind = node.get("type")
    if not where.validated:
        if kind in _UNRECORDED:
            what, instead = _UNRECORDED[kind]
            yield f"{where.place} holds {what}: it cannot be recorded; use {instead}, or give it a serializer"
        named = node.get("cls")
        if kind == "is-instance" and isinstance(named, type) and _is_unrecorded(named):
            what = named.__name__
            yield f"{where.place} holds the type {what}: it cannot be recorded; use a str, or give it a serializer"
    if kind == "dict" and (keys := _no_keys(node.get("keys_schema", {}))):
        yield f"{where.place} has keys of the type {keys}, and those of JSON are texts; use a str for them"


def _is_unrecorded(kind: type) -> bool:
    # A path has the latter.
    return issubclass(kind, _UNRECORDED_CLASSES) or hasattr(kind, "__fspath__")


def _no_keys(keys: Mapping[str, Any]) -> str | None:
    """Return the name of a type that cannot be a JSON key; None if the keys are valid."""
    if _is_written(keys.get("serialization", {}), is_event=True):
        return None
    kind = keys.get("type")
    if kind in _VALIDATORS:
        return None
    if kind == "union":
        choices = (each for each in keys["choices"] if isinstance(each, Mapping))
        return next((found for each in choices if (found := _no_keys(each))), None)
    if kind == "enum" and not issubclass(keys["cls"], int):
        return None if all(isinstance(each.value, str) for each in keys["members"]) else str(keys["cls"].__name__)
    if kind == "literal":
        plain = [each.value if isinstance(each, Enum) else each for each in keys["expected"]]
        return None if all(isinstance(each, str) for each in plain) else "Literal"
    return str(kind) if kind in _NO_KEYS else None
