"""Forwarding: how every message is copied to another queue."""

import re
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from handlers.complaint import headline_of, text_of
from worker.amqp.sender import Properties, Sender
from worker.message import CAUSATION_HEADER
from worker.schedule.deliver_at import DELIVER_AT_HEADER
from worker.settlement import FailedElsewhere
from worker.topology import AFFINITY_HEADER

__all__ = [
    "DROPPED_HEADER",
    "ERROR_HEADER",
    "OWN_ID_HEADER",
    "QUEUE_HEADER",
    "REASON_HEADER",
    "TIME_HEADER",
    "TRACEBACK_HEADER",
    "WITHHELD_HEADER",
    "copy_of",
    "explain",
    "forward",
]

REASON_HEADER = "worker-reason"
ERROR_HEADER = "worker-error"
TRACEBACK_HEADER = "worker-traceback"
QUEUE_HEADER = "worker-queue"
TIME_HEADER = "worker-failed-at"
OWN_ID_HEADER = "worker-assigned-id"
"""Marks a message whose id was assigned by the worker: it came without one."""
WITHHELD_HEADER = "worker-withheld-headers"
"""Holds the publisher's headers that a broker may act on, so that they do not act again on a copy."""
DROPPED_HEADER = "worker-dropped-headers"
"""Names the publisher's headers that were left out because the worker's own left no room."""

# Together below 16 KB: headers travel in one frame, and brokers and their tools show them whole.
_MAX_ERROR_BYTES = 4 * 1024
_MAX_TRACEBACK_BYTES = 11 * 1024
_LEFT_OUT = "left out: the message's headers take up its room"
_MAX_NAMES_BYTES = 500
# Fits in the headers frame of a broker with the smallest frame size that can be set.
_MIN_ERROR_BYTES = 500
# The publisher's headers that a worker reads.
_READ_HEADERS = frozenset({"traceparent", "tracestate", CAUSATION_HEADER, AFFINITY_HEADER, DELIVER_AT_HEADER})
_OWN_PREFIX = "worker-"
# Brokers also route by these two; broker plugins delay, drop or route by headers whose names begin with this prefix.
_ROUTING_HEADERS = frozenset({"CC", "BCC"})
_BROKER_PREFIX = "x-"
# Headers that brokers themselves set on a message.
_NOTED_BY_BROKERS = re.compile(r"x-(death|first-death-.*|last-death-.*|delivery-count|acquired-count|opt-.*)")


async def forward(
    sender: Sender,
    body: bytes,
    properties: Properties,
    *,
    queue: str,
    exchange: str = "",
    headers: Mapping[str, Any],
    without: Collection[str] = (),
    timeout: float | None,  # noqa: ASYNC109  passed on to the sender
    rest: float | None = None,
) -> None:
    """Store a copy of a message in a queue. Acknowledge the original only after this returns.

    The copy goes to that queue alone: it carries no header that a broker acts on. Such headers of the publisher are
    kept inside another header. Headers that brokers set, such as counts of deaths and deliveries, belong to the
    original and are left out. The copy is published in a batch of its own, so that a refusal affects no other message.
    A message without an id gets one, since only a message with an id can be confirmed, and a header that says so: it
    must not pass for a command that was published with that id.

    Args:
        sender: The connection to publish on.
        body: The message's body.
        properties: The original's properties; they are not changed.
        queue: The queue's name; if ``exchange`` is given, the routing key.
        exchange: The exchange in front of the queue; by default the default exchange, which routes by queue name.
        headers: Headers to add to the original's, or to replace there.
        without: Names of headers of the original to leave out.
        timeout: For the whole call, in seconds; None for no limit.
        rest: Time to live of the copy in the queue, in seconds; None for the queue's own.

    Raises:
        Unroutable: The queue does not exist.
        MessageRefused: The broker refuses the copy because of its size or content.
        BrokerUnavailable: The copy was not confirmed. It may or may not be in the queue.
    """
    copy = copy_of(properties, sender.fits, headers=headers, without=without, rest=rest)
    await sender.send(body, copy, exchange=exchange, routing_key=queue, timeout=timeout, alone=True)


def copy_of(
    properties: Properties,
    fits: Callable[[Properties], bool],
    *,
    headers: Mapping[str, Any],
    without: Collection[str] = (),
    rest: float | None = None,
) -> Properties:
    """Return the properties of the copy that ``forward`` publishes.

    Args:
        properties: The original's properties; they are not changed.
        fits: Returns whether given properties can be encoded within the frame size. If not, headers are left out, the
            least important first.
        headers: Headers to add to the original's, or to replace there.
        without: Names of headers of the original to leave out.
        rest: Time to live of the copy in the queue, in seconds; None for the queue's own.
    """
    kept: dict[str, Any] = {
        key: _sendable(value) for key, value in _inert(properties.headers or {}).items() if key not in without
    }
    mark = {} if properties.message_id else {OWN_ID_HEADER: True}
    copy = Properties(
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        message_id=properties.message_id or str(uuid4()),
        message_type=properties.message_type,
        timestamp=properties.timestamp,
        priority=properties.priority,
        app_id=properties.app_id,
        expiration=None if rest is None else str(int(rest * 1000)),
    )
    for fewer in _ever_fewer(kept, {**mark, **headers}):
        copy.headers = fewer
        if fits(copy):
            break
    return copy


def _inert(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers that no broker acts on; the publisher's that one may act on are moved into another header."""
    kept: dict[str, Any] = {}
    withheld: dict[str, Any] = {}
    for name, value in headers.items():
        if name in _ROUTING_HEADERS or name.startswith(_BROKER_PREFIX):
            if not _NOTED_BY_BROKERS.fullmatch(name):
                withheld[name] = value
        else:
            kept[name] = value
    if withheld:
        before = kept.get(WITHHELD_HEADER)
        kept[WITHHELD_HEADER] = {**(before if isinstance(before, dict) else {}), **withheld}
    return kept


def _ever_fewer(kept: dict[str, Any], ours: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the headers of a copy: all of them, then fewer and fewer, down to the indispensable ones."""
    yield {**kept, **ours}
    if TRACEBACK_HEADER in ours:
        ours = {**ours, TRACEBACK_HEADER: _LEFT_OUT}
        yield {**kept, **ours}
    read = {name: value for name, value in kept.items() if _is_read(name)}
    yield {**read, **ours, **_dropped(kept.keys() - read.keys())}
    ours |= _dropped(kept.keys() - ours.keys())
    yield ours
    if ERROR_HEADER in ours:
        yield {**ours, ERROR_HEADER: _clip(ours[ERROR_HEADER], _MIN_ERROR_BYTES)}


def _is_read(name: str) -> bool:
    return name in _READ_HEADERS or (name.startswith(_OWN_PREFIX) and name != WITHHELD_HEADER)


def _dropped(names: Collection[str]) -> dict[str, Any]:
    return {DROPPED_HEADER: _clip(", ".join(sorted(names)), _MAX_NAMES_BYTES)}


def explain(failure: BaseException, *, reason: str, queue: str, with_traceback: bool) -> dict[str, Any]:
    """Return headers that say why a message was moved; together under 16 KB.

    Args:
        failure: The error.
        reason: Its machine-readable reason.
        queue: Name of the queue that the message came from.
        with_traceback: Whether to add the traceback.
    """
    headers = {
        REASON_HEADER: reason,
        ERROR_HEADER: _clip(text_of(failure) or type(failure).__name__, _MAX_ERROR_BYTES),
        QUEUE_HEADER: queue,
        TIME_HEADER: datetime.now(UTC).isoformat(),
    }
    if with_traceback:
        headline, text = _origin(failure)
        headers[ERROR_HEADER] = _clip(f"{headline}: {text_of(failure)}", _MAX_ERROR_BYTES)
        headers[TRACEBACK_HEADER] = _clip(text, _MAX_TRACEBACK_BYTES, keep_end=True)
    return headers


def _origin(failure: BaseException) -> tuple[str, str]:
    """Return a failure's headline and traceback, also if it was raised in another process."""
    if isinstance(failure, FailedElsewhere):
        return failure.failure.headline, failure.failure.traceback
    # The last frames say where it was raised; a deep recursion would fill the header with its middle.
    return headline_of(failure), "".join(traceback.format_exception(failure, limit=-30))


def _sendable(value: Any) -> Any:
    """Return a header's value in a form that the client library encodes: it decodes text that is not UTF-8 as bytes."""
    match value:
        case bytes():
            return bytearray(value)
        case list():
            return [_sendable(each) for each in value]
        case dict():
            return {key: _sendable(each) for key, each in value.items()}
        case _:
            return value


def _clip(text: str, limit: int, *, keep_end: bool = False) -> str:
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit:
        return encoded.decode()
    cut = encoded[-limit + 3 :] if keep_end else encoded[: limit - 3]
    kept = cut.decode(errors="ignore")
    return "…" + kept if keep_end else kept + "…"
