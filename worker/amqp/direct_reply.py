"""Direct reply-to: addresses of answers that a broker hands to the asking channel itself, without a queue."""

import binascii
import re
from base64 import b64decode

__all__ = ["is_direct", "is_sound"]

_PREFIX = "amq.rabbitmq.reply-to"
# A process of the broker's, as it writes it, and a key.
_ADDRESS = re.compile(r"amq\.rabbitmq\.reply-to\.([A-Za-z0-9+/]+=*)\.[A-Za-z0-9+/=_-]+")
_ERLANG_TERM = b"\x83"


def is_direct(address: str) -> bool:
    """Whether an address names a channel instead of a queue."""
    return address.startswith(_PREFIX)


def is_sound(address: str) -> bool:
    """Whether a direct address has the form that brokers write.

    Any publisher can name any address. A broker ends the connection on which it is asked for one that it cannot read.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return False
    try:
        return b64decode(match[1], validate=True).startswith(_ERLANG_TERM)
    except binascii.Error:
        return False
