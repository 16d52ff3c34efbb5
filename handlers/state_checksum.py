"""The checksum of a stored state, so that one that was damaged is never decided from.

It covers all that a reader believes: what the state is of, how far it is folded, from how many events, and its text.
"""

import hashlib

from eventstore import Position, StateKey, StoredState
from handlers.errors import DamagedState

__all__ = ["checked", "with_checksum"]

_BYTES = 16


def with_checksum(key: StateKey, position: Position, events: int, text: bytes) -> bytes:
    """Return a state's text as it is stored, behind its checksum."""
    return _checksum(key, position, events, text) + text


def checked(stored: StoredState) -> bytes:
    """Return the text of a stored state.

    Raises:
        DamagedState: Something of it is not as it was stored.
    """
    text = stored.state[_BYTES:]
    if _checksum(stored.key, stored.position, stored.events, text) != stored.state[:_BYTES]:
        raise DamagedState("it is not as it was stored: its checksum is another")
    return text


def _checksum(key: StateKey, position: Position, events: int, text: bytes) -> bytes:
    # The first two have one length each, so that no two states are written alike.
    named = hashlib.blake2b(key.digest, digest_size=_BYTES)
    named.update(f"{position} {events}\n".encode())
    named.update(text)
    return named.digest()
