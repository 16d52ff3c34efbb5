"""The frame size: bodies are spread over several frames, and a message's properties never over more than one.

A broker closes the connection at a frame that is too large, and all other messages on it fail.
"""

from typing import Any

from aiormq import spec

from eventstore.counted import counted
from worker.errors import MessageRefused
from worker.printable import printable

__all__ = ["check_frame", "fit_in_frame"]

_BESIDE_PAYLOAD_BYTES = 8
# The beginning of the properties' frame, and the delivery mode of a persistent message.
_BEFORE_PROPERTIES_BYTES, _DELIVERY_MODE_BYTES = 12, 1
# Texts up to this length together can be encoded if they are ASCII, and fit, beside all other properties, in the
# smallest frame that a broker can be set to: 4 KB.
_SURELY_FIT = 255
_UNENCODABLE = (TypeError, ValueError, RecursionError)


def fit_in_frame(properties: spec.Basic.Properties, largest_payload: int) -> bool:
    """Whether the properties of a persistent message can be encoded, and fit in one frame.

    Args:
        properties: The properties.
        largest_payload: The largest payload of one frame, in bytes.
    """
    try:
        size = _BEFORE_PROPERTIES_BYTES + len(properties.marshal())
    except _UNENCODABLE:
        return False
    if properties.delivery_mode is None:
        size += _DELIVERY_MODE_BYTES
    return size <= largest_payload


def check_frame(properties: spec.Basic.Properties, routing_key: str, largest_payload: int) -> None:
    """Check that a persistent message can be sent. Usual ones pass without being encoded for it.

    Args:
        properties: The message's properties.
        routing_key: Its routing key.
        largest_payload: The largest payload of one frame, in bytes.

    Raises:
        MessageRefused: The properties or the routing key cannot be encoded, or do not fit in one frame.
    """
    if _is_small(properties, routing_key):
        return
    try:
        properties.marshal()
        spec.Basic.Publish(routing_key=routing_key).marshal()
    except _UNENCODABLE as error:
        named = f"the message's name, ids and headers, or its routing key {printable(routing_key)},"
        raise MessageRefused(f"{named} cannot be sent: {error}") from error
    if not fit_in_frame(properties, largest_payload):
        frame = counted(largest_payload + _BESIDE_PAYLOAD_BYTES, "byte")
        raise MessageRefused(
            f"the message's name, ids and headers do not fit into one frame of {frame}; make them shorter"
        )


def _is_small(properties: spec.Basic.Properties, routing_key: str) -> bool:
    headers: dict[str, Any] = properties.headers or {}
    texts = [routing_key, properties.message_type or "", properties.correlation_id or "", properties.reply_to or ""]
    texts += headers
    texts += headers.values()
    try:
        text = "".join(texts)
    except TypeError:
        return False  # a header is no text
    return len(text) <= _SURELY_FIT and text.isascii()
