"""Payloads: an event's fields, each with a link to the events with the same value."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import msgspec

__all__ = ["Field", "shown_fields"]

_MOST_FIELDS = 60
_MOST_TEXT = 400
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field for display.

    Attributes:
        name: The field's name.
        text: Its value as JSON, cut if it is long.
        link: Address of the list of events with this value; None if no filter can select it.
    """

    name: str
    text: str
    link: str | None


def shown_fields(payload: Mapping[str, Any], *, domain: str | None = None) -> list[Field]:
    """Return the fields of an object.

    Args:
        payload: The object.
        domain: Name of the domain whose log the links lead to; None if there is one log.
    """
    return [_field(name, value, domain) for name, value in list(payload.items())[:_MOST_FIELDS]]


def _field(name: str, value: Any, domain: str | None) -> Field:
    text = _encoder.encode(value).decode()
    is_short = len(text) <= _MOST_TEXT
    link = None
    # A name that contains the sign cannot be typed as a condition either.
    if is_short and name and "=" not in name and isinstance(value, str | bool | int | float | Decimal):
        asked = {"where": f"{name}={text}"} | ({"domain": domain} if domain else {})
        link = f"/events?{urlencode(asked)}"
    return Field(name=name, text=text if is_short else f"{text[:_MOST_TEXT]}…", link=link)
