"""The form of a body, as its properties tell it: JSON in UTF-8, or what is refused by its name."""

import re
from typing import Protocol

from worker.message import BadMessage

__all__ = ["FormProperties", "check_form"]

# What says that nothing was done to the text. Some clients name the character set in this place.
_PLAIN = frozenset({"identity", "utf-8", "utf8", "us-ascii", "ascii", "7bit", "8bit", "binary"})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";\s]+)", re.IGNORECASE)
# Other ways to write an object. Whatever else a type says, the body is looked at: many clients set none that is true.
_OTHER = re.compile(r"xml|msgpack|messagepack|protobuf|cbor|avro|yaml|bson|pickle|serialize", re.IGNORECASE)
_LONGEST_SHOWN = 100


class FormProperties(Protocol):
    """What this module reads of a delivery's AMQP properties."""

    content_type: str | None
    content_encoding: str | None


def check_form(properties: FormProperties) -> None:
    """See whether a body is said to be of a form that can be read. A body of which nothing is said is.

    Raises:
        BadMessage: ``unsupported_encoding`` or ``unsupported_content_type``.
    """
    encoding, kind = properties.content_encoding, properties.content_type
    if encoding and encoding.lower() not in _PLAIN:
        raise BadMessage(
            "unsupported_encoding",
            f"the body's content_encoding is {encoding[:_LONGEST_SHOWN]!r}; send it as it is, JSON in UTF-8",
        )
    if not kind or kind == "application/json":
        return
    if (charset := _CHARSET.search(kind)) is not None and charset[1].lower() not in _CHARSETS:
        raise BadMessage("unsupported_encoding", f"the body's charset is {charset[1][:_LONGEST_SHOWN]!r}; send UTF-8")
    if _OTHER.search(kind) and "json" not in kind.lower():
        raise BadMessage(
            "unsupported_content_type", f"the body's content_type is {kind[:_LONGEST_SHOWN]!r}; send application/json"
        )
