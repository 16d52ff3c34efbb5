"""Direct reply-to: reply addresses that a broker delivers straight to the requesting channel, without a queue."""

import binascii
import re
from base64 import b64decode

__all__ = ["is_direct", "is_sound"]

_PREFIX = "amq.rabbitmq.reply-to"
# An encoded process identifier of the broker, and a key.
_ADDRESS = re.compile(r"amq\.rabbitmq\.reply-to\.([A-Za-z0-9+/]+=*)\.[A-Za-z0-9+/=_-]+")
_ERLANG_TERM = b"\x83"


def is_direct(address: str) -> bool:
    """Whether a reply address is a direct reply-to address, and not a queue's name."""
    return address.startswith(_PREFIX)


def is_sound(address: str) -> bool:
    """Whether a direct reply-to address has the form that brokers generate.

    Publishers can name any address, and a broker closes the connection that publishes to one it cannot decode.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return False
    try:
        return b64decode(match[1], validate=True).startswith(_ERLANG_TERM)
    except binascii.Error:
        return False
