"""OTLP: encodes spans as an export request.

Written by hand, at a fifth of the cost of the generated classes. Field numbers, and when a field is left out, are those
of the SDK's encoder. Source:
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from struct import Struct
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, TraceState

from worker.telemetry.noted_span import Noted, NotedEvent, NotedLink, NotedSpan
from worker.telemetry.protobuf import double, field, fixed32, fixed64, integer, length, text

__all__ = ["Encoder"]

_log = logging.getLogger(__name__)

# By identity: hashing a member of an enumeration is a call.
_KINDS = {id(kind): b"\x30%c" % (kind.value + 1) for kind in SpanKind}
_times = Struct("<BQBQ").pack
# Bit 8 says that bit 9 is valid: whether the parent, or the target of a link, is in another process.
_LOCAL, _REMOTE = 0x100, 0x300
_SPAN_FLAGS = {False: b"\x85\x01" + fixed32(_LOCAL), True: b"\x85\x01" + fixed32(_REMOTE)}
_LINK_FLAGS = {False: b"\x35" + fixed32(_LOCAL), True: b"\x35" + fixed32(_REMOTE)}
_NO_STATUS = b"\x7a\x00"
_ATTRIBUTE = b"\x4a"

# The longest key, with tag and length, and text together for which each length takes one byte.
_SHORT = 123
# Values of few kinds are encoded once. Values that always differ, such as ids, fill their share and are then encoded
# anew.
_MOST_NAMES, _MOST_VALUES, _LONGEST_VALUE = 1024, 64, 256


class _InvalidKey(Exception):
    """Raised when the key of an attribute is empty, or no text."""


class Encoder:
    """Encodes export requests of one resource. Used by one thread at a time.

    Args:
        resource: The resource that produces the spans.
    """

    def __init__(self, resource: Resource) -> None:
        schema = field(b"\x1a", text(resource.schema_url)) if resource.schema_url else b""
        self._resource = field(b"\x0a", _attributes(b"\x0a", resource.attributes))
        self._resource_schema = schema
        self._names: dict[str, bytes] = {}
        self._keys: dict[str, _Key] = {}

    def request(self, spans: Iterable[NotedSpan]) -> bytes:
        """Encode an ``ExportTraceServiceRequest`` of ended spans.

        A span that cannot be encoded, for example because its name is no text, is left out and logged.
        """
        by_scope: dict[InstrumentationScope, list[bytes]] = {}
        for span in spans:
            try:
                written = self._span(span)
            except Exception:  # noqa: BLE001  any error of one span must not affect the others
                _log.exception("a span cannot be written as OTLP, and is left out")
                continue
            by_scope.setdefault(span.scope.instrumentation, []).append(written)
        scopes = [field(b"\x12", b"".join((*_scope(scope), *written))) for scope, written in by_scope.items()]
        return field(b"\x0a", b"".join((self._resource, *scopes, self._resource_schema)))

    def _span(self, span: NotedSpan) -> bytes:
        attributes = span.attributes
        try:
            parts = self._span_attributes(attributes)
        except _InvalidKey:
            attributes = BoundedAttributes(None, attributes)
            parts = self._span_attributes(attributes)
        parent_id = span.parent_id
        parts.append(
            b"\x0a\x10%b\x12\x08%b%b%b%b%b%b%b"
            % (
                span.trace_id.to_bytes(16, "big"),
                span.span_id.to_bytes(8, "big"),
                b"\x22\x08" + parent_id.to_bytes(8, "big") if parent_id else b"",
                self._names.get(span.name) or self._name(span.name),
                _KINDS[id(span.kind)],
                _times(0x39, span.start_time, 0x41, span.end_time or 0),
                _SPAN_FLAGS[span.parent_is_remote],
                _NO_STATUS if span.status is None else _status(span.status),
            )
        )
        if type(attributes) is not dict:
            parts.append(b"\x50" + length(_dropped(attributes)))
        if span.trace_state:
            parts.append(field(b"\x1a", _state(span.trace_state)))
        if span.events is not None:
            parts.extend([field(b"\x5a", _event(event)) for event in span.events])
            parts.append(b"\x60" + length(span.dropped_events))
        if span.links is not None:
            parts.extend([field(b"\x6a", _link(link)) for link in span.links])
            parts.append(b"\x70" + length(span.dropped_links))
        return field(b"\x12", b"".join(parts))

    def _span_attributes(self, attributes: Mapping[str, Any]) -> list[bytes]:
        parts = []
        for key, value in attributes.items():
            known = self._keys.get(key) or self._key(key)
            kind = type(value)
            if kind is str or kind is int:
                part = known.values.get(value)
                if part is None:
                    part = known.written(value)
            elif kind is bool:
                part = known.true if value else known.false
            elif kind is float:
                part = known.fraction + double(value)
            else:
                part = _attribute(_ATTRIBUTE, key, known.begin, value)
            parts.append(part)
        return parts

    def _name(self, name: str) -> bytes:
        written = field(b"\x2a", text(name))
        if len(self._names) < _MOST_NAMES:
            self._names[name] = written
        return written

    def _key(self, key: str) -> "_Key":
        known = _Key(key)
        if len(self._keys) < _MOST_NAMES:
            self._keys[key] = known
        return known


class _Key:
    """The key of attributes of spans, with the encoded attributes of known values."""

    __slots__ = ("_key", "begin", "false", "fraction", "true", "values")

    def __init__(self, key: str) -> None:
        self._key = key
        self.begin = _key(key)
        self.values: dict[str | int, bytes] = {}
        self.true = _attribute(_ATTRIBUTE, key, self.begin, value=True)
        self.false = _attribute(_ATTRIBUTE, key, self.begin, value=False)
        # An attribute with a float value, without the eight bytes of the value.
        self.fraction = _attribute(_ATTRIBUTE, key, self.begin, 0.0)[:-8]

    def written(self, value: str | int) -> bytes:
        """Encode an attribute with a value that is not known yet."""
        if type(value) is str:
            content = text(value)
            size = len(content)
            if size + len(self.begin) > _SHORT:
                written = _attribute(_ATTRIBUTE, self._key, self.begin, value)
            else:
                written = b"\x4a%c%b\x12%c\x0a%c%b" % (size + len(self.begin) + 4, self.begin, size + 2, size, content)
        else:
            written = _attribute(_ATTRIBUTE, self._key, self.begin, value)
        if len(self.values) < _MOST_VALUES and len(written) <= _LONGEST_VALUE:
            self.values[value] = written
        return written


def _scope(scope: InstrumentationScope) -> tuple[bytes, bytes]:
    schema = field(b"\x1a", text(scope.schema_url)) if scope.schema_url else b""
    named = field(b"\x0a", text(scope.name)) + field(b"\x12", text(scope.version or ""))
    return field(b"\x0a", named + _attributes(b"\x1a", scope.attributes or {})), schema


def _event(event: NotedEvent) -> bytes:
    begun = b"\x09%b%b" % (fixed64(event.time), field(b"\x12", text(event.name)))
    return begun + _noted(b"\x1a", b"\x20", event.attributes)


def _link(link: NotedLink) -> bytes:
    to = link.context
    ids = b"\x0a\x10%b\x12\x08%b" % (to.trace_id.to_bytes(16, "big"), to.span_id.to_bytes(8, "big"))
    return ids + _LINK_FLAGS[to.is_remote] + _noted(b"\x22", b"\x28", link.attributes)


def _status(status: Status) -> bytes:
    code = b"\x18" + length(status.status_code.value)
    return field(b"\x7a", field(b"\x12", text(status.description)) + code if status.description else code)


def _state(state: TraceState) -> bytes:
    return text(",".join(f"{key}={value}" for key, value in state.items()))


def _noted(tag: bytes, dropped_tag: bytes, attributes: Noted) -> bytes:
    try:
        written = _attributes(tag, attributes)
    except _InvalidKey:
        attributes = BoundedAttributes(None, attributes)
        written = _attributes(tag, attributes)
    return written + dropped_tag + length(_dropped(attributes))


def _dropped(attributes: Noted) -> int:
    return attributes.dropped if isinstance(attributes, BoundedAttributes) else 0


def _attributes(tag: bytes, attributes: Mapping[str, Any]) -> bytes:
    return b"".join([_attribute(tag, key, _key(key), value) for key, value in attributes.items()])


def _key(key: str) -> bytes:
    if not isinstance(key, str) or not key:
        raise _InvalidKey
    return field(b"\x0a", text(key))


def _attribute(tag: bytes, key: str, begin: bytes, value: object) -> bytes:
    """Encode an attribute; empty if OTLP has no form for its value.

    Args:
        tag: The tag of the field.
        key: The key, for the log.
        begin: The encoded key.
        value: The attribute's value.
    """
    try:
        return field(tag, begin + field(b"\x12", _value(value)))
    except (TypeError, ValueError) as error:
        _log.warning("the attribute %s cannot be written as OTLP, and is left out: %s", key, error)
        return b""


def _value(value: object) -> bytes:  # noqa: PLR0911  one for each form
    """Encode an ``AnyValue``."""
    if isinstance(value, str):
        return field(b"\x0a", text(value))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + integer(value)
    if isinstance(value, float):
        return b"\x21" + double(value)
    if value is None:
        return b""
    if isinstance(value, bytes):
        return field(b"\x3a", value)
    if isinstance(value, Sequence):
        return field(b"\x2a", b"".join([field(b"\x0a", _value(each)) for each in value]))
    if isinstance(value, Mapping):
        return field(b"\x32", b"".join([field(b"\x0a", _pair(str(key), each)) for key, each in value.items()]))
    raise TypeError(f"there is no form for {type(value).__name__}")


def _pair(key: str, value: object) -> bytes:
    return field(b"\x0a", text(key)) + field(b"\x12", _value(value))
