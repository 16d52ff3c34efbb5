"""Invalid messages that a broker accepts and delivers."""

import struct
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from aiormq import spec
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from tests.faults.bodies import SOUND, bodies, encoded

__all__ = ["Message", "RawProperties", "messages"]

# The flag bit of each property, in the order in which properties follow on the wire.
_FLAGS = {
    "content_type": 15,
    "content_encoding": 14,
    "headers": 13,
    "delivery_mode": 12,
    "priority": 11,
    "correlation_id": 10,
    "reply_to": 9,
    "message_id": 7,
    "timestamp": 6,
    "type": 5,
    "app_id": 3,
    "cluster_id": 2,
}
_LONGEST_SHORT = 255
# Headers and the other properties share one frame, of at most 128 KB.
_LONGEST_HEADERS = 128_000


class RawProperties(spec.Basic.Properties):
    """Properties that are sent as raw bytes, in forms that the client library would never write."""

    def __init__(self, raw: bytes, message_id: str) -> None:
        super().__init__(message_id=message_id)
        self._raw = raw

    def marshal(self) -> bytes:
        return self._raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A generated message.

    Attributes:
        domain: The domain that it is sent to.
        properties: The encoded properties.
        body: The body.
    """

    domain: str
    properties: bytes
    body: bytes


def messages(count: int, *, number: int) -> list[Message]:
    """Generate ``count`` messages; the same ``number`` generates the same ones."""
    found: list[Message] = []

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate])
    @given(_messages())
    def collect(message: Message) -> None:
        found.append(message)

    while len(found) < count:
        collect()
    return found[:count]


def _short(text: bytes) -> bytes:
    kept = text[:_LONGEST_SHORT]
    return bytes([len(kept)]) + kept


def _long(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def _packed(form: str) -> "st.SearchStrategy[bytes]":
    return st.binary(min_size=struct.calcsize(form), max_size=struct.calcsize(form))


def _finite(width: Literal[32, 64]) -> "st.SearchStrategy[float]":
    return st.floats(width=width, allow_nan=False, allow_infinity=False)


# Texts of every kind, also bytes that are not valid UTF-8.
_text = st.one_of(
    st.text(max_size=20).map(lambda text: text.encode(errors="surrogatepass")),
    st.binary(max_size=20),
    st.sampled_from(
        [
            b"",
            b"\x00",
            b"\xff\xfe",
            b"\xed\xa0\x80",
            "\u202e\ufeff\U0001f4a5".encode(),
            b"a" * 255,
            # Its declared length is three times the actual one.
            b"\xff" * 255,
            b"'--",
        ]
    ),
)
_id = st.one_of(
    st.uuids().map(lambda uuid: str(uuid).encode()),
    st.uuids().map(lambda uuid: str(uuid).encode()),
    # Few ids, so that they are used repeatedly, also for different commands.
    st.integers(0, 5).map(lambda number: str(UUID(int=number)).encode()),
    st.uuids().map(lambda uuid: f"{{urn:uuid:{uuid}}}".upper().encode()),
    _text,
)
_names = ("Count", "CountOnce", "Explode", "RegisterReader", "AddBookCopyToCirculation", "LendBookCopyToReader")
_name = st.one_of(st.sampled_from(_names).map(str.encode), _text)

# A header's value: a type, and bytes that are valid for it.
_scalar = st.one_of(
    *(
        _packed(form).map(kind.__add__)
        for kind, form in {
            b"t": ">B",
            b"b": ">b",
            b"B": ">B",
            b"s": ">h",
            b"u": ">H",
            b"I": ">i",
            b"i": ">I",
            b"l": ">q",
            b"D": ">BI",
            b"T": ">Q",
        }.items()
    ),
    _finite(32).map(lambda number: b"f" + struct.pack(">f", number)),
    _finite(64).map(lambda number: b"d" + struct.pack(">d", number)),
    st.just(b"V"),
    _text.map(lambda text: b"S" + _long(text)),
    _text.map(lambda text: b"x" + _long(text)),
)


def _table(fields: "list[tuple[bytes, bytes]]") -> bytes:
    return _long(b"".join(_short(name) + value for name, value in fields))


def _nested(depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = b"F" + _table([(b"a", value)])
    return value


# The broker's header names, the worker's, and others.
_header = st.one_of(
    st.sampled_from(
        [
            b"x-death",
            b"x-delivery-count",
            b"x-first-death-queue",
            b"worker-attempts",
            b"worker-handler-failures",
            b"worker-first-failure",
            b"worker-reason",
            b"causation-id",
            b"traceparent",
            b"tracestate",
        ]
    ),
    st.binary(max_size=12),
)
_value = st.recursive(
    _scalar,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: b"A" + _long(b"".join(values))),
        st.lists(st.tuples(_header, inner), max_size=3).map(lambda fields: b"F" + _table(fields)),
    ),
    max_leaves=6,
)
_meaningful = st.sampled_from(
    [
        (b"worker-first-failure", b"S" + _long(b"0001-01-01T00:00:00+14:00")),
        (b"worker-first-failure", b"S" + _long(b"9999-12-31T23:59:59-14:00")),
        (b"worker-attempts", b"l" + struct.pack(">q", 2**63 - 1)),
        (b"worker-handler-failures", b"l" + struct.pack(">q", -(2**63))),
        (b"traceparent", b"S" + _long(b"00-" + b"f" * 32 + b"-" + b"f" * 16 + b"-ff")),
        (b"x-long", b"S" + _long(b"x" * 50_000)),
        # It leaves no room in the frame for a traceback; two of them, not even for an error.
        (b"long", b"S" + _long(b"x" * 120_000)),
        (b"also-long", b"S" + _long(b"x" * 7_000)),
        # The client library can read this depth, but not write it.
        (b"deep", _nested(400)),
    ]
)
_headers = (
    st.lists(st.one_of(st.tuples(_header, _value), _meaningful), max_size=5)
    .map(_table)
    .filter(lambda table: len(table) < _LONGEST_HEADERS)
)
_octet = st.integers(0, 255).map(lambda number: bytes([number]))

_properties: "st.SearchStrategy[dict[str, bytes]]" = st.fixed_dictionaries(
    {"message_id": _id.map(_short), "type": _name.map(_short)},
    optional={
        "content_type": _text.map(_short),
        "content_encoding": _text.map(_short),
        "headers": _headers,
        "delivery_mode": st.sampled_from([b"\x01", b"\x02"]),  # the broker refuses any other user id
        "priority": _octet,
        "correlation_id": _text.map(_short),
        "reply_to": _text.map(_short),
        "timestamp": _packed(">Q"),
        "app_id": _text.map(_short),
        "cluster_id": _text.map(_short),
    },
)


def _on_the_wire(properties: dict[str, bytes]) -> bytes:
    present = [name for name in _FLAGS if name in properties]
    flags = sum(1 << _FLAGS[name] for name in present)
    return struct.pack(">H", flags) + b"".join(properties[name] for name in present)


@st.composite
def _messages(draw: st.DrawFn) -> Message:
    domain, command_type = draw(st.sampled_from(list(SOUND)))
    properties, body = draw(_properties), draw(bodies)
    if draw(st.booleans()):
        # A valid body with any id and headers: the command may be answered.
        properties["type"] = _short(command_type.encode())
        body = draw(SOUND[domain, command_type].map(encoded))
    if draw(st.booleans()):
        properties["message_id"] = _short(str(draw(st.uuids())).encode())
    return Message(domain=domain, properties=_on_the_wire(properties), body=body)
