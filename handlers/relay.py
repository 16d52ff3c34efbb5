"""Relays: what a domain tells everybody who listens. Its events are published in order, as CloudEvents."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, final, get_args

from eventstore import Filter
from handlers.checks.followers import check_events, check_name
from handlers.errors import InvalidRelay
from handlers.reaction import Begins

__all__ = ["Mode", "Relay"]

Mode: TypeAlias = Literal["binary", "structured"]
"""How a CloudEvent is put into a message: its attributes as headers beside the payload, or all of it as one JSON."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relay:
    """Events that are published to the topic exchange ``<domain>.events``, in order, each once or more.

    Attributes:
        name: Up to 50 small letters, digits, ``_`` and ``-``, beginning with a letter.
        events: Which events, without bounds on time or number; None for all events of the domain.
        mode: How they are put into messages.
        subject: The payload's field whose text is the CloudEvent's ``subject``, by its JSON name; None for none.
        begins: Where it begins when it is run for the first time: at the ``end`` of the log, or at its ``start``.

    Raises:
        InvalidRelay: One of these cannot be; the message says which.
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
        """The same as ``events``."""
        return self.events

    @property
    def described(self) -> str:
        """What it is, with its name."""
        return f"the relay {self.name}"
