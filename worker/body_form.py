"""The form of a body, as declared in its properties: JSON in UTF-8; any other is refused."""

import re
from typing import Protocol

from worker.message import BadMessage

__all__ = ["FormProperties", "check_form"]

# Encodings that leave the text unchanged. Some clients put the character set here.
_PLAIN = frozenset({"identity", "utf-8", "utf8", "us-ascii", "ascii", "7bit", "8bit", "binary"})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";\s]+)", re.IGNORECASE)
# Other serialisations. With any other type the body is parsed nevertheless: many clients set a wrong one.
_OTHER = re.compile(r"xml|msgpack|messagepack|protobuf|cbor|avro|yaml|bson|pickle|serialize", re.IGNORECASE)
_LONGEST_SHOWN = 100


class FormProperties(Protocol):
    """The AMQP properties of a delivery that this module reads."""

    content_type: str | None
    content_encoding: str | None


def check_form(properties: FormProperties) -> None:
    """Check that a body's declared form can be read. A body without a declared form passes.

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
