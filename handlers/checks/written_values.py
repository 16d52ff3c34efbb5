"""Written values: whether the values that a model may hold read back as they were written."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from eventstore import Event

__all__ = ["unread_values"]

# The types that are read from JSON.
_READ = (str, bool, int, Decimal, list, dict, type(None))


def unread_values(node: Mapping[str, Any], place: str, *, is_one_of_several: bool) -> Iterator[str]:
    """Iterate over values that a part of a model may hold and that would not read back, each as a sentence.

    Args:
        node: The part of pydantic's core schema.
        place: The model or field that the part describes.
        is_one_of_several: Whether the part is one of several alternatives for reading.
    """
    kind = node.get("type")
    if kind in {"enum", "literal"}:
        yield from _unread(node, place)
    elif kind == "is-instance" and isinstance(cls := node["cls"], type):
        if not is_one_of_several and not any(issubclass(each, cls) for each in _READ):
            yield f"{place} takes objects of the class {cls.__name__} alone, which nothing that is read is"
    elif kind == "model" and issubclass(node["cls"], BaseModel):
        computed = next(iter(node["cls"].model_computed_fields), None)
        if computed is not None and node.get("config", {}).get("extra_fields_behavior") == "forbid":
            yield f"{place} forbids other fields when it is read, and {computed} is one that it writes"


def _unread(node: Mapping[str, Any], place: str) -> Iterator[str]:
    is_enum = node["type"] == "enum"
    kind = node["cls"] if is_enum else Literal[tuple(node["expected"])]
    values = node["members"] if is_enum else node["expected"]
    unread = next((value for value in values if not _is_read_back(kind, value)), None)
    if unread is not None:
        instead = "give it a text or an integer" if is_enum else "use what is written for it"
        yield f"{place} may hold {unread!r}, which is not read back as it is written; {instead}"


def _is_read_back(kind: Any, value: Any) -> bool:
    try:
        written = Event(type="value", payload={"value": value}).recorded(1, 0).payload["value"]
        read = TypeAdapter(kind).validate_python(written)
    except Exception:  # noqa: BLE001  an enumeration of the domain may raise anything
        return False
    return read is value or (not isinstance(value, Enum) and type(read) is type(value) and bool(read == value))
