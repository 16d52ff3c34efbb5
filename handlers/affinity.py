"""Affinity: the key that routes a domain's commands to a shard, as the text that is hashed."""

from collections.abc import Callable, Collection
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias
from uuid import UUID

from pydantic import BaseModel

from eventstore import InvalidFilter, Scalar
from handlers.contained import Contained
from handlers.errors import InvalidDomain, InvalidKey
from handlers.key import KeyParameter
from handlers.kind import kind_of
from handlers.plain_function import refusal

__all__ = ["DEFAULT_SHARDS", "MOST_SHARDS", "Affinity", "AffinityKey", "checked_shards", "key_text", "looked_at"]

AffinityKey: TypeAlias = Scalar | UUID | date | Enum
"""The types that a key may have: those of a value of a view's key."""
Affinity: TypeAlias = Callable[[Any], AffinityKey]
"""Returns a command's key. It is pure, and uses nothing but the command."""

DEFAULT_SHARDS = 8
# Each shard is a quorum queue, with a file and a process of its own on each node of a cluster.
MOST_SHARDS = 128

_KEY = KeyParameter("key", Any)
# Stands for a field's value, and is recognizable in any text that is made of it.
_SAMPLE = "\ue000sample {}\ue001"


def checked_shards(domain: str, affinity: Affinity | None, shards: int | None) -> int | None:
    """Check the affinity and return the number of shards of a domain; None without affinity.

    Raises:
        InvalidDomain: The affinity is no function, or the number of shards is not from 1 to 128 or is given without an
            affinity.
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


def looked_at(affinity: Affinity, command: type[BaseModel], fields: Collection[str]) -> str | None:
    """Return which of some fields of a command is part of its key, as far as can be found out; None if none is.

    Args:
        affinity: The affinity function of the domain.
        command: The command's class.
        fields: The JSON names of the fields to look for.
    """
    samples: dict[str, Any] = {name: _SAMPLE.format(place) for place, name in enumerate(command.model_fields)}
    names = {field.serialization_alias or name: samples[name] for name, field in command.model_fields.items()}
    try:
        with Contained():
            key = affinity(command.model_construct(None, **samples))
    except Exception:  # noqa: BLE001  the domain's function may not expect such a command
        return None
    return next((name for name in fields if isinstance(key, str) and names[name] in key), None)


def key_text(domain: str, affinity: Affinity, command: Any) -> str:
    """Return the text that a command's key is hashed by; equal values have one text, however they are written.

    A string is its own text; a number is written by its digits, a boolean as ``true`` or ``false``, a UUID or date in
    its canonical form.

    Raises:
        InvalidKey: The affinity returns a value of a type that no key may have, or that no message can hold.
        Exception: The affinity raised an error.
    """
    key = affinity(command)
    try:
        scalar = _KEY.scalar(domain, key)
    except (InvalidKey, InvalidFilter) as error:
        raise InvalidKey(
            f"the affinity of the domain {domain} returns {kind_of(key)} for {type(command).__name__}: use a "
            "str without NUL characters, a bool, int, Decimal, UUID, date, or an enumeration of str or int"
        ) from error
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    return format(scalar, "f") if isinstance(scalar, Decimal) else str(scalar)
