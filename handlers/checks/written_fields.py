"""Written fields: whether each field of a model is read by the name that it is written by."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["field_problems", "fields_of", "namesakes"]


def fields_of(described: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return the fields of pydantic's schema: models have a mapping, dataclasses a list or bare names."""
    if isinstance(described, Mapping):
        return described.items()
    return [(field["name"], field) for field in described if isinstance(field, Mapping)]


def namesakes(node: Mapping[str, Any], place: str) -> Iterator[str]:
    """Iterate over names that several fields of a model are written by, so that all but the last are lost."""
    written = [_written_name(name, field) for name, field in fields_of(node["fields"]) if not _is_left_out(field)]
    written += [each.get("alias", each["property_name"]) for each in node.get("computed_fields", ())]
    for name in dict.fromkeys(each for each in written if written.count(each) > 1):
        yield f"{place} writes several fields as {name}; give each a name of its own"


def field_problems(field: Mapping[str, Any], place: str, *, is_event: bool) -> Iterator[str]:
    """Iterate over the reasons why a field would not read back as it was written, each as a sentence."""
    if is_event and _is_left_out(field):
        yield f"{place} is left out when it is written"
        return
    if is_event and "serialization_exclude_if" in field and field["schema"].get("type") != "default":
        yield f"{place} is left out at times when it is written, and has no default"
        return
    name = place.rpartition(".")[2]
    writes = _written_name(name, field)
    reads = list(_read_names(field.get("validation_alias", name)))
    if writes not in reads:
        yield f"{place} is written as {writes} and read as {' or '.join(reads) or 'a path'}; give it one alias"


def _written_name(name: str, field: Mapping[str, Any]) -> str:
    return str(field.get("serialization_alias", name))


def _is_left_out(field: Mapping[str, Any]) -> bool:
    # A field of the latter kind is given to a dataclass's constructor and not stored.
    is_required = field["schema"].get("type") != "default"
    return bool(field.get("serialization_exclude")) or (bool(field.get("init_only")) and is_required)


def _read_names(alias: Any) -> Iterator[str]:
    if isinstance(alias, str):
        yield alias
        return
    paths = alias if alias and isinstance(alias[0], list) else [alias]
    for path in paths:
        if len(path) == 1:
            yield str(path[0])
