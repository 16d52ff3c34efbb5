"""The dead letter: a message that is not retried any more, with everything that its headers say."""

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
"""Holds the time of the last replay: the only trace of the failure on a replayed message."""

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
"""The headers about failures, which are removed when a message is replayed."""

BROKER_REASONS = {
    "delivery_limit": "the broker delivered it again and again: perhaps it crashed the workers that received it",
    "rejected": "a worker rejected it: the broker accepts no copy of it, as the worker's log says (refused_copy); "
    "or a consumer of another program rejected it",
    "expired": "it was published with an expiration, or a policy set one, and no consumer received it in time",
    "maxlen": "a policy limits the queue's length, and the queue was full",
}
"""The reasons for which the broker itself dead-letters messages, with their meaning."""

_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

# The limit of an error's text in a list: a line or two.
_LONGEST_BRIEF = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter, parsed from its message. What is missing or invalid is None.

    Attributes:
        message_id: The command's id, as received.
        has_own_id: Whether the publisher set that id. If not, the worker did, and the message was no command.
        command_type: The command's name.
        reason: Why it was dead-lettered, machine-readable: the worker's reason, or the broker's.
        error: Why it was dead-lettered, for people.
        traceback: The traceback, if a bug in a handler is the cause.
        died_at: When it was dead-lettered.
        published_at: The earliest time at which the message is known to have existed.
        attempts: How often it had failed in a worker.
        domain_name: Name of the command's domain.
        correlation_id: Id of the conversation that it belongs to.
        reply_to: The queue for its reply.
        trace_id: Id of the publisher's trace.
        replayed_at: When it was last replayed, if it failed again after that.
        size: The size of its body, in bytes.
        headers: All of its AMQP headers.
        body: Its body.
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
        """Parse a message of a domain's dead-letter queue. Every message can be parsed."""
        headers: Mapping[str, Any] = properties.headers or {}
        history = History.read(headers)
        death = _broker_death(headers, (*topology.work_queues, topology.schedule_queue))
        if death is not None:
            # The worker's own reason, if there is one, is that of an earlier failure, after which it was retried.
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
        """Whether it was dead-lettered by that time, or does not say when: a person has not agreed to later ones."""
        return self.died_at is None or self.died_at <= moment

    def without_content(self) -> "DeadLetter":
        """Return a copy for a list: without headers, body and traceback, so that a long list is small."""
        return replace(self, headers={}, body=b"", traceback=None, error=self.brief_error)

    @property
    def brief_error(self) -> str | None:
        """The first line of the error, shortened if it is long."""
        if not self.error:
            return None
        line = self.error.split("\n", 1)[0]
        return line if len(line) <= _LONGEST_BRIEF else f"{line[: _LONGEST_BRIEF - 1]}…"

    def document(self) -> dict[str, Any]:
        """Return all of it as a JSON object, for programs. A body that is not UTF-8 is in base64."""
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
        """Return the fields of a list as a JSON object, for programs; none of them is large."""
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
    """Whether a dead letter came from the schedule queue, so that it was never due."""
    headers: Mapping[str, Any] = properties.headers or {}
    queue = topology.schedule_queue
    return headers.get(QUEUE_HEADER) == queue or _broker_death(headers, (queue,)) is not None


def same_id(text: str) -> str:
    """Return an id in canonical form for comparisons: a UUID has several spellings."""
    try:
        return str(UUID(text))
    except ValueError:
        return text


def _broker_death(headers: Mapping[str, Any], queues: Collection[str]) -> Mapping[str, Any] | None:
    """Return the entry of how the broker itself dead-lettered the message from one of these queues; None if it did not.

    Copies that a worker sends carry no ``x-death``. The way through the retry queue leaves one, of that queue.
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
    """Return a header's value as JSON values."""
    match value:
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case bytes() | bytearray():
            return value.decode(errors="replace")
        case _:
            return value
