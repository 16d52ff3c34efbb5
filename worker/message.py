"""The message: the AMQP form of a command, and of the reply to it.

This module does not depend on the AMQP library: it gets properties and bytes.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, cast
from uuid import UUID

import msgspec

from eventstore import Position
from eventstore.counted import counted
from eventstore.jsontext import MAX_DIGITS, NotJson, NumberTooLong, decode_object, has_long_number, one_form

__all__ = [
    "CAUSATION_HEADER",
    "CONTENT_TYPE",
    "AmqpProperties",
    "BadMessage",
    "CommandMessage",
    "Reply",
    "ReplyOutcome",
    "digest",
    "id_text",
    "parse_reply",
    "read_body",
    "read_command_id",
]

CONTENT_TYPE = "application/json"
CAUSATION_HEADER = "causation-id"

ReplyOutcome = Literal["accepted", "rejected", "unchanged", "failed"]

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+\\?"?', re.DOTALL)
_NO_BRACKET = bytes(byte for byte in range(256) if byte not in b"[]{}")
_OPENING = frozenset(b"[{")
# Byte order marks of Unicode's encodings.
_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MARKS = (_MARK, *_OTHER_MARKS)
_KINDS = {list: "an array", str: "a string", bool: "true or false", int: "a number", float: "a number"}


class BadMessage(Exception):
    """Raised when a message can never be processed, whatever the state of the store. It is dead-lettered.

    Attributes:
        code: A stable, machine-readable reason.
        text: What exactly is wrong, for people.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class AmqpProperties(Protocol):
    """The AMQP properties of a delivery that this module reads."""

    message_id: str | None
    message_type: str | None
    correlation_id: str | None
    reply_to: str | None
    timestamp: datetime | None
    headers: Any


class CommandMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A command as received, its body not parsed yet.

    Attributes:
        command_id: Id of the command. Sent several times with the same id, it takes effect once.
        command_type: The command's name.
        body: The command's JSON text, unchecked.
        correlation_id: Id of the conversation that the command belongs to; its own id unless the publisher set one.
        causation_id: Id of what caused the command; its own id unless the publisher set one.
        reply_to: The queue for the reply; None if no reply is wanted.
        timestamp: When the publisher sent it; None if not set.
        headers: The AMQP headers.
    """

    command_id: UUID
    command_type: str
    body: bytes
    correlation_id: str
    causation_id: str
    reply_to: str | None = None
    timestamp: datetime | None = None
    headers: Mapping[str, Any]

    @classmethod
    def parse(cls, properties: AmqpProperties, body: bytes) -> "CommandMessage":
        """Read the properties of a message.

        Raises:
            BadMessage: ``missing_message_id``, ``malformed_message_id`` or ``missing_type``.
        """
        command_id = read_command_id(properties)
        if not properties.message_type:
            raise BadMessage("missing_type", "the message has no type; give it the command's name")
        headers = properties.headers or {}
        causation_id = headers.get(CAUSATION_HEADER)
        own_id = id_text(command_id)
        return cls(
            command_id=command_id,
            command_type=properties.message_type,
            body=body,
            correlation_id=properties.correlation_id or own_id,
            causation_id=causation_id if isinstance(causation_id, str) and causation_id else own_id,
            reply_to=properties.reply_to or None,
            timestamp=properties.timestamp,
            headers=headers,
        )


def read_command_id(properties: AmqpProperties) -> UUID:
    """Read a command's id from the properties.

    Raises:
        BadMessage: ``missing_message_id`` or ``malformed_message_id``.
    """
    if not properties.message_id:
        raise BadMessage("missing_message_id", "the message has no message_id; give each command a UUID")
    try:
        return _read_id(properties.message_id)
    except ValueError:
        raise BadMessage(
            "malformed_message_id", f"the message_id {properties.message_id[:100]!r} is not a UUID"
        ) from None


def _read_id(text: str) -> UUID:
    try:
        return msgspec.convert(text, UUID)
    except msgspec.ValidationError:
        return UUID(text)  # in one of the less usual forms


def id_text(command_id: UUID) -> str:
    """Return a command's id as ``str`` does, in a third of the time."""
    return cast("str", msgspec.to_builtins(command_id))


def read_body(body: bytes, *, max_bytes: int, max_depth: int) -> dict[str, Any]:
    """Parse a command's JSON object. Size and depth are checked before parsing, numbers before they are used.

    Args:
        body: The JSON text, in UTF-8.
        max_bytes: The largest size to accept, in bytes.
        max_depth: The deepest nesting of objects and arrays to accept.

    Returns:
        The object; numbers with a fraction are ``Decimal``.

    Raises:
        BadMessage: ``too_large``, ``too_deep``, ``not_json``, ``number_too_long`` or ``not_an_object``.
    """
    if len(body) > max_bytes:
        raise BadMessage("too_large", f"the body has {counted(len(body), 'byte')}; at most {max_bytes:,} are read")
    if body.startswith(_MARKS):
        body = _without_mark(body)
    if body.count(b"{") + body.count(b"[") > max_depth and _is_deeper(body, max_depth):
        raise BadMessage("too_deep", f"the body is nested more than {max_depth} levels deep")
    try:
        value: Any = decode_object(body)
    except NumberTooLong:
        raise _too_long() from None
    except NotJson as error:
        why = error if body.strip() else "it is empty"
        raise BadMessage("not_json", f"the body is not JSON: {why}") from None
    if has_long_number(body, value):
        raise _too_long()
    if not isinstance(value, dict):
        raise BadMessage("not_an_object", f"the body must be a JSON object, not {_KINDS.get(type(value), 'null')}")
    return value


def _too_long() -> BadMessage:
    return BadMessage("number_too_long", f"the body has a number beyond {MAX_DIGITS:,} digits")


def _without_mark(body: bytes) -> bytes:
    if body.startswith(_OTHER_MARKS):
        raise BadMessage("not_json", "the body is a text in UTF-16 or UTF-32; send it in UTF-8")
    return body.removeprefix(_MARK)


def digest(command_type: str, body: Mapping[str, Any]) -> bytes:
    """Return a hash that distinguishes commands with the same id: 16 bytes, equal for any spelling of the same JSON.

    ``1``, ``1.0`` and ``10e-1`` are spellings of one number.
    """
    return hashlib.blake2b(command_type.encode() + b"\0" + one_form(body), digest_size=16).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a command.

    Attributes:
        command_id: Id of the command; None if the message had no valid id.
        outcome: The outcome; ``failed`` means that the command was dead-lettered.
        reason: Why it was rejected or failed; otherwise None.
        first: Sequence number of the first recorded event; None if there is none.
        last: Sequence number of the last recorded event; None if there is none.
        position: A read with this ``min_position`` sees the outcome; None if the command failed.
        duplicate: Whether the command had been answered before, and this repeats that answer.
    """

    command_id: UUID | None
    outcome: ReplyOutcome
    reason: str | None = None
    first: int | None = None
    last: int | None = None
    position: Position | None = None
    duplicate: bool = False

    @property
    def code(self) -> str | None:
        """The machine-readable reason of a failed command, such as ``handler_error``; None for any other outcome."""
        if self.outcome != "failed" or self.reason is None:
            return None
        return self.reason.partition(":")[0]

    def to_json(self) -> bytes:
        """Return it as JSON for a message; the position in the form ``number:token``."""
        return msgspec.json.encode(
            {
                "command_id": self.command_id,
                "outcome": self.outcome,
                "reason": self.reason,
                "first": self.first,
                "last": self.last,
                "position": None if self.position is None else str(self.position),
                "duplicate": self.duplicate,
            }
        )


class _WireReply(msgspec.Struct):
    command_id: UUID | None
    outcome: ReplyOutcome
    reason: str | None = None
    first: int | None = None
    last: int | None = None
    position: str | None = None
    duplicate: bool = False


_reply_decoder = msgspec.json.Decoder(_WireReply)


def parse_reply(body: bytes) -> Reply:
    """Parse what ``Reply.to_json`` wrote.

    Raises:
        ValueError: It is not a reply; the message says why.
    """
    wire = _reply_decoder.decode(body)
    return Reply(
        command_id=wire.command_id,
        outcome=wire.outcome,
        reason=wire.reason,
        first=wire.first,
        last=wire.last,
        position=None if wire.position is None else Position.parse(wire.position),
        duplicate=wire.duplicate,
    )


def _is_deeper(body: bytes, limit: int) -> bool:
    """Whether brackets nest deeper than ``limit``, without a call or an object per bracket.

    Each pass removes the innermost level of the remaining brackets, so a pair that is left after ``limit`` passes is
    too deep.
    """
    brackets = _STRING.sub(b"", body).translate(None, _NO_BRACKET)
    for _ in range(limit):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return b"[]" in brackets or b"{}" in brackets or _leaves_open(brackets, limit)


def _leaves_open(brackets: bytes, limit: int) -> bool:
    """Whether text that is not JSON opens more than ``limit`` brackets, into which a parser would descend."""
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in _OPENING else -1
        if depth > limit:
            return True
    return False
