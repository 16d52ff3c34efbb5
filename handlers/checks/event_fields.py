"""Event fields: the values that top-level fields of a domain's events can hold, to find filters that never match."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Flag
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from eventstore import Event, Filter, FilterItem, Predicate, Scalar
from handlers.model import DomainEvent

__all__ = ["EventFields"]

# Types whose values have one spelling in a payload, by their format name in JSON Schema.
_SPELT: dict[str, TypeAdapter[Any]] = {
    "date-time": TypeAdapter(datetime),
    "date": TypeAdapter(date),
    "time": TypeAdapter(time),
    "duration": TypeAdapter(timedelta),
    "uuid": TypeAdapter(UUID),
}
# The types of enumeration values that JSON represents exactly.
_LISTED = {str, int, bool, type(None)}
_KINDS = {"string": "a text", "boolean": "a truth", "integer": "an integer", "number": "a number"}


class _PayloadSchema(GenerateJsonSchema):
    """The schema of recorded payloads: decimals are numbers, and types that JSON Schema cannot express allow any value.

    A payload is the result of ``model_dump``: serializers for JSON mode do not apply. A model's own schema metadata
    does not either: it is for readers of documentation.
    """

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        plain: Any = {name: value for name, value in schema.items() if name != "metadata"}
        return super().generate_inner(plain)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = self.generate_inner(schema["schema"])
        if schema["cls"].model_config.get("extra") == "allow":
            made.setdefault("additionalProperties", True)
        return made

    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        is_function = schema["type"] in {"function-plain", "function-wrap"}
        if schema.get("when_used", "always" if is_function else "json").startswith("json"):
            return None
        if is_function and "return_schema" not in schema:
            return {}
        return super().ser_schema(schema)

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        if issubclass(schema["cls"], Flag):
            # A combination of several flags is also a value.
            return {"type": "integer"}
        values = [member.value for member in schema["members"]]
        return super().enum_schema(schema) if {type(value) for value in values} <= _LISTED else {}

    def decimal_schema(self, _: core_schema.DecimalSchema) -> JsonSchemaValue:
        return {"type": "number"}

    def handle_invalid_for_json_schema(self, _: CoreSchema, __: str) -> JsonSchemaValue:
        return {}

    def emit_warning(self, *_: Any) -> None:
        """Suppress the warning: it does not concern filters."""


class EventFields:
    """The fields of a domain's events, by their JSON names.

    Args:
        events: The event classes, by every present and former name.
    """

    def __init__(self, events: Mapping[str, type[DomainEvent]]) -> None:
        self._models = events
        self._schemas: dict[str, dict[str, Any] | None] = {}

    def problems(self, asked: Filter) -> Iterator[str]:
        """Iterate over the parts of a filter that no event can match, each as the end of a sentence."""
        for item in asked.items:
            unknown = [name for name in item.event_types if name not in self._models]
            for name in unknown:
                advice = _alike(name, self._models) or "; add it to its events"
                yield f"names the event type {name}, which the domain does not list{advice}"
            if not unknown:
                yield from self._problems_of(item)

    def _problems_of(self, item: FilterItem) -> Iterator[str]:
        if not item.predicates:
            return
        types = item.event_types or tuple(self._models)
        reasons = {name: [self._never(name, predicate) for predicate in item.predicates] for name in types}
        dead = [name for name, found in reasons.items() if (any if item.all_predicates else all)(found)]
        if len(dead) == len(types) and not item.event_types:
            yield f"asks for {item.predicates[0]!r}, which no event of the domain can hold"
            return
        # Without event types, an event type that cannot match was not asked for.
        for name in dead if item.event_types else ():
            yield next(reason for reason in reasons[name] if reason is not None)

    def _never(self, event_type: str, predicate: Predicate) -> str | None:
        """Return the reason why no event of a type can match a predicate; None if one can."""
        schema = self._schema(event_type)
        if schema is None:
            return None
        key, value = predicate.key, predicate.value
        fields = schema.get("properties", {})
        if key not in fields:
            if schema.get("additionalProperties"):
                return None
            if "." in key or "[" in key:
                return f"asks {event_type} for {key!r}: a predicate looks at one top-level field"
            return f"asks {event_type} for the field {key!r}, which it does not have{_alike(key, fields)}"
        definitions = schema.get("$defs", {})
        kinds = list(_kinds(fields[key], definitions))
        found = [_refusal(kind, value) for kind in kinds]
        if not kinds or None in found:
            return None
        return f"asks {event_type} for {predicate!r}, but {key} {found[0]}"

    def _schema(self, event_type: str) -> dict[str, Any] | None:
        if event_type not in self._schemas:
            try:
                schema = self._models[event_type].model_json_schema(
                    by_alias=True, mode="serialization", schema_generator=_PayloadSchema
                )
            except Exception:  # noqa: BLE001  a model with a schema of its own may hold anything
                schema = None
            self._schemas[event_type] = schema if schema and "properties" in schema else None
        return self._schemas[event_type]


def _kinds(schema: Any, definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Iterate over the alternatives that a field's schema allows."""
    if not isinstance(schema, dict):
        yield {}
    elif "$ref" in schema:
        yield from _kinds(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions)
    elif "anyOf" in schema or "oneOf" in schema:
        for each in schema.get("anyOf") or schema["oneOf"]:
            yield from _kinds(each, definitions)
    else:
        yield schema


def _refusal(kind: dict[str, Any], value: Scalar) -> str | None:
    """Return the reason why a field of this kind never holds a value; None if it may."""
    holds = kind.get("type")
    if not isinstance(holds, str):
        return None
    if holds not in _KINDS:
        what = {"array": "is a list", "object": "is an object"}.get(holds, f"is {holds}")
        return f"{what} there, and a predicate looks at one scalar"
    if not _is_a(holds, value):
        return f"holds {_KINDS[holds]} there"
    allowed = [kind["const"]] if "const" in kind else kind.get("enum", [value])
    if value not in allowed:
        return f"is {' or '.join(map(repr, allowed))} there"
    return _misspelling(kind.get("format", ""), value)


def _misspelling(form: str, value: Scalar) -> str | None:
    spelt = _SPELT.get(form)
    if spelt is None or not isinstance(value, str):
        return None
    right = _spelling(spelt, value)
    if right is None:
        return f"holds a {form} there"
    return None if right == value else f"is written as {right!r} there"


def _is_a(holds: str, value: Scalar) -> bool:
    if isinstance(value, bool) or holds == "boolean":
        return isinstance(value, bool) and holds == "boolean"
    if isinstance(value, str) or holds == "string":
        return isinstance(value, str) and holds == "string"
    return holds == "number" or not isinstance(value, Decimal)


def _spelling(spelt: TypeAdapter[Any], value: str) -> Any:
    try:
        event = Event(type="spelling", payload={"value": spelt.validate_python(value)})
    except ValueError:
        return None
    return event.recorded(1, 0).payload["value"]


def _alike(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
