"""The affinity: the key by which a domain's commands are kept together, as the text that is hashed."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias
from uuid import UUID

from eventstore import InvalidFilter, Scalar
from handlers.errors import InvalidDomain, InvalidKey
from handlers.key import KeyParameter
from handlers.plain_function import refusal

__all__ = ["DEFAULT_SHARDS", "MOST_SHARDS", "Affinity", "AffinityKey", "checked_shards", "key_text"]

AffinityKey: TypeAlias = Scalar | UUID | date | Enum
"""What a key may be: the same as a value of a view's key."""
Affinity: TypeAlias = Callable[[Any], AffinityKey]
"""Returns a command's key. It is pure, and sees nothing but the command."""

DEFAULT_SHARDS = 8
# Each is a quorum queue, with a file and a process of its own on each node of a cluster.
MOST_SHARDS = 128

_KEY = KeyParameter("key", Any)


def checked_shards(domain: str, affinity: Affinity | None, shards: int | None) -> int | None:
    """Return over how many shards a domain's commands are spread; None without affinity.

    Raises:
        InvalidDomain: The affinity is no function; the number is none, or given without an affinity.
    """
    if affinity is None:
        if shards is not None:
            raise InvalidDomain(f"the domain {domain} has shards, but no affinity that commands are spread by")
        return None
    if (problem := refusal(affinity)) is not None:
        raise InvalidDomain(f"the domain {domain} needs a function as its affinity, {problem}")
    if shards is None:
        return DEFAULT_SHARDS
    if type(shards) is not int or not 1 <= shards <= MOST_SHARDS:
        raise InvalidDomain(f"the domain {domain} can have 1 to {MOST_SHARDS} shards, not {shards!r}")
    return shards


def key_text(domain: str, affinity: Affinity, command: Any) -> str:
    """Return the text that a command's key is hashed by: one for each value, however it is spelt.

    A string is its own text; a number has its digits, a truth ``true`` or ``false``, a UUID and a day their usual form.

    Raises:
        InvalidKey: The key has a type that no key may have, or no message can hold it.
        Exception: Whatever the function raises.
    """
    key = affinity(command)
    try:
        scalar = _KEY.scalar(domain, key)
    except (InvalidKey, InvalidFilter) as error:
        raise InvalidKey(
            f"the affinity of the domain {domain} returns a {type(key).__name__} for {type(command).__name__}: use a "
            "str without NUL characters, a bool, int, Decimal, UUID, date, or an enumeration of str or int"
        ) from error
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    return format(scalar, "f") if isinstance(scalar, Decimal) else str(scalar)
