"""The checksum of a stored state, so that no decision is made from a damaged one.

It covers everything that a reader relies on: the state's key, its position, its number of events, and its text.
"""

import hashlib

from eventstore import Position, StateKey, StoredState
from handlers.errors import DamagedState

__all__ = ["checked", "with_checksum"]

_BYTES = 16


def with_checksum(key: StateKey, position: Position, events: int, text: bytes) -> bytes:
    """Return a state's text in its stored form, preceded by its checksum."""
    return _checksum(key, position, events, text) + text


def checked(stored: StoredState) -> bytes:
    """Verify a stored state and return its text.

    Raises:
        DamagedState: The checksum does not match.
    """
    text = stored.state[_BYTES:]
    if _checksum(stored.key, stored.position, stored.events, text) != stored.state[:_BYTES]:
        raise DamagedState("it is not as it was stored: its checksum is another")
    return text


def _checksum(key: StateKey, position: Position, events: int, text: bytes) -> bytes:
    # The digest has a fixed length and the numbers end with a line break, so that no two states have the same input.
    named = hashlib.blake2b(key.digest, digest_size=_BYTES)
    named.update(f"{position} {events}\n".encode())
    named.update(text)
    return named.digest()
