"""The dead letter: a message that will not be tried again by itself, and all that it says of itself."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from worker.history import ATTEMPTS_HEADER, BUGS_HEADER, FIRST_FAILURE_HEADER, History, read_time
from worker.message import AmqpProperties
from worker.rounds.forwarding import (
    ERROR_HEADER,
    OWN_ID_HEADER,
    QUEUE_HEADER,
    REASON_HEADER,
    TIME_HEADER,
    TRACEBACK_HEADER,
)
from worker.topology import Topology

__all__ = ["BROKER_REASONS", "REPLAYED_HEADER", "STORY_HEADERS", "DeadLetter", "same_id", "was_scheduled"]

REPLAYED_HEADER = "worker-replayed-at"
"""When the message was last replayed; the one thing that a replayed message remembers of its death."""

STORY_HEADERS = frozenset(
    {
        ATTEMPTS_HEADER,
        BUGS_HEADER,
        FIRST_FAILURE_HEADER,
        REASON_HEADER,
        ERROR_HEADER,
        TRACEBACK_HEADER,
        QUEUE_HEADER,
        TIME_HEADER,
        OWN_ID_HEADER,
    }
)
"""The headers that tell of failures, which a replayed message begins without."""

BROKER_REASONS = {
    "delivery_limit": "the broker delivered it again and again: perhaps it ended the workers that took it",
    "rejected": "a worker left it to the broker, which takes no copy of it, as its log says (refused_copy); or a "
    "consumer that is none of ours rejected it",
    "expired": "it was published with an expiration, or a policy set one, and nobody took it in time",
    "maxlen": "a policy bounds the queue's length, and it was full",
}
"""Why the broker puts messages aside by itself, and what that means."""

_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

# Of an error in a list: a line or two.
_LONGEST_BRIEF = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter, read from its message. Whatever is missing or makes no sense is None.

    Attributes:
        message_id: The command's id, as it came.
        has_own_id: Whether the publisher gave it that id. If not, it is one of ours, and the message was no command.
        command_type: The command's name.
        reason: Why it is here, machine-readable: the worker's reason, or the broker's.
        error: The same in words.
        traceback: Where in the code, if a handler's bug is to blame.
        died_at: When it was put aside.
        published_at: The earliest moment at which we know it to have been there.
        attempts: How often it had failed in a worker.
        domain_name: Whose command it is.
        correlation_id: The conversation it belongs to.
        reply_to: The queue that awaited its answer.
        trace_id: The publisher's trace.
        replayed_at: When it was replayed, if it died again after that.
        size: The size of its body, in bytes.
        headers: All its AMQP headers.
        body: Its bytes.
    """

    message_id: str | None
    has_own_id: bool
    command_type: str | None
    reason: str
    error: str | None
    traceback: str | None
    died_at: datetime | None
    published_at: datetime | None
    attempts: int
    domain_name: str
    correlation_id: str | None
    reply_to: str | None
    trace_id: str | None
    replayed_at: datetime | None
    size: int
    headers: Mapping[str, Any] = field(repr=False)
    body: bytes = field(repr=False)

    @classmethod
    def read(cls, properties: AmqpProperties, body: bytes, topology: Topology) -> "DeadLetter":
        """Read a message from a domain's dead queue. Any message can be read."""
        headers: Mapping[str, Any] = properties.headers or {}
        history = History.read(headers)
        death = _broker_death(headers, (*topology.work_queues, topology.schedule_queue))
        if death is not None:
            # Our own words, if there are any, are about an earlier failure, for which it was sent to the retry queue.
            reason = str(death["reason"])
            error, traceback, died_at = BROKER_REASONS.get(reason), None, _utc(death.get("time"))
        else:
            reason = _text(headers.get(REASON_HEADER)) or "unknown"
            error, traceback = _text(headers.get(ERROR_HEADER)), _text(headers.get(TRACEBACK_HEADER))
            died_at = read_time(headers.get(TIME_HEADER))
        known = (_utc(properties.timestamp), history.first_failure, died_at)
        return cls(
            message_id=properties.message_id or None,
            has_own_id=bool(properties.message_id) and OWN_ID_HEADER not in headers,
            command_type=properties.message_type or None,
            reason=reason,
            error=error,
            traceback=traceback,
            died_at=died_at,
            published_at=min((moment for moment in known if moment is not None), default=None),
            attempts=history.attempts,
            domain_name=topology.domain_name,
            correlation_id=properties.correlation_id or None,
            reply_to=properties.reply_to or None,
            trace_id=_trace_id(headers.get("traceparent")),
            replayed_at=read_time(headers.get(REPLAYED_HEADER)),
            size=len(body),
            headers=headers,
            body=body,
        )

    def was_dead_by(self, moment: datetime) -> bool:
        """Whether it was put aside by then, as far as it says so: to what came later, nobody has agreed."""
        return self.died_at is None or self.died_at <= moment

    def without_content(self) -> "DeadLetter":
        """Return what a list shows of it, so that a long list is small."""
        return replace(self, headers={}, body=b"", traceback=None, error=self.brief_error)

    @property
    def brief_error(self) -> str | None:
        """The first line of the error, cut where it is long."""
        if not self.error:
            return None
        line = self.error.split("\n", 1)[0]
        return line if len(line) <= _LONGEST_BRIEF else f"{line[: _LONGEST_BRIEF - 1]}…"

    def document(self) -> dict[str, Any]:
        """Say all of it to a program. A body that is not UTF-8 is given in base64."""
        try:
            body: dict[str, Any] = {"body": self.body.decode()}
        except UnicodeDecodeError:
            body = {"body": None, "body_base64": self.body}
        return {
            **self.summary(),
            "error": self.error,
            "traceback": self.traceback,
            "published_at": self.published_at,
            "correlation_id": self.correlation_id,
            "reply_to": self.reply_to,
            "trace_id": self.trace_id,
            "headers": {str(name): _plain(value) for name, value in self.headers.items()},
            **body,
        }

    def summary(self) -> dict[str, Any]:
        """Say to a program what a list shows; nothing in it is large."""
        return {
            "id": self.message_id,
            "own_id": self.has_own_id,
            "domain": self.domain_name,
            "command": self.command_type,
            "reason": self.reason,
            "died_at": self.died_at,
            "attempts": self.attempts,
            "size": self.size,
            "replayed_at": self.replayed_at,
            "error": self.brief_error,
        }


def was_scheduled(properties: AmqpProperties, topology: Topology) -> bool:
    """Whether a dead letter came from the queue of what is to be sent later, so that it was never due."""
    headers: Mapping[str, Any] = properties.headers or {}
    queue = topology.schedule_queue
    return headers.get(QUEUE_HEADER) == queue or _broker_death(headers, (queue,)) is not None


def same_id(text: str) -> str:
    """Return an id in the one form in which ids are compared: a UUID has several spellings."""
    try:
        return str(UUID(text))
    except ValueError:
        return text


def _broker_death(headers: Mapping[str, Any], queues: Collection[str]) -> Mapping[str, Any] | None:
    """Return how the broker itself took the message out of one of the work queues, if it did.

    What a worker sends on carries no ``x-death``; the way through the retry queue leaves one, of that queue.
    """
    return next((death for death in _deaths(headers.get("x-death")) if _text(death.get("queue")) in queues), None)


def _deaths(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (death for death in value if isinstance(death, dict) and _text(death.get("reason")))


def _text(value: object) -> str | None:
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="replace")
    return value if isinstance(value, str) and value else None


def _utc(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _trace_id(value: object) -> str | None:
    match = _TRACE.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None


def _plain(value: object) -> Any:
    """Return a header's value as what JSON can hold."""
    match value:
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case bytes() | bytearray():
            return value.decode(errors="replace")
        case _:
            return value
