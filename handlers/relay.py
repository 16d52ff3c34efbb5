"""Relays: publish a domain's events in order, as CloudEvents, to any subscriber."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, final, get_args

from eventstore import Filter
from handlers.checks.followers import check_events, check_name
from handlers.errors import InvalidRelay
from handlers.reaction import Begins

__all__ = ["Mode", "Relay"]

Mode: TypeAlias = Literal["binary", "structured"]
"""The form of a CloudEvent in a message: attributes as headers beside the payload, or all of it as one JSON object."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relay:
    """Events that are published to the topic exchange ``<domain>.events``, in order, at least once each.

    Attributes:
        name: The relay's name: up to 50 small letters, digits, ``_`` and ``-``, beginning with a letter.
        events: The filter that selects the events, without bounds on time or number; None, the default, for all events
            of the domain.
        mode: How events are put into messages; by default ``binary``.
        subject: The JSON name of the payload field whose text becomes the CloudEvent's ``subject``; None, the default,
            for none.
        begins: Where its first run begins: at the ``end`` of the log, the default, or at its ``start``.

    Raises:
        InvalidRelay: An attribute is invalid; the message says which.
    """

    name: str
    events: Filter | None = None
    mode: Mode = "binary"
    subject: str | None = None
    begins: Begins = "end"

    def __post_init__(self) -> None:
        check_name("relay", self.name, InvalidRelay)
        if self.events is not None:
            check_events(f"relay {self.name}", self.events, InvalidRelay)
        if self.mode not in get_args(Mode):
            raise InvalidRelay(f"the relay {self.name} has the mode binary or structured, not {self.mode!r}")
        if self.subject is not None and not (isinstance(self.subject, str) and self.subject):
            raise InvalidRelay(f"the subject of the relay {self.name} is the name of a field, not {self.subject!r}")
        if self.begins not in get_args(Begins):
            raise InvalidRelay(f"the relay {self.name} begins at the end or at the start, not at {self.begins!r}")

    @property
    def followed(self) -> Filter | None:
        """The relay's ``events``."""
        return self.events

    @property
    def described(self) -> str:
        """The relay's name, for messages."""
        return f"the relay {self.name}"
