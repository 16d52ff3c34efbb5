"""The errors of domains. None is retryable: the same command fails the same way until the code is changed."""

from typing import Self

__all__ = [
    "DamagedState",
    "DomainNotFound",
    "HandlerCrashed",
    "HandlerError",
    "InvalidCommand",
    "InvalidDecider",
    "InvalidDecision",
    "InvalidDomain",
    "InvalidKey",
    "InvalidParts",
    "InvalidProjection",
    "InvalidReaction",
    "InvalidRelay",
    "InvalidRow",
    "InvalidScenario",
    "InvalidState",
    "InvalidUpcaster",
    "InvalidView",
    "NewerEvent",
    "UnknownCommand",
    "UnknownEventType",
    "UnknownProjection",
    "UnknownView",
    "UnreadableEvent",
]


class HandlerError(Exception):
    """Base of every error that the framework for domains raises."""


class HandlerCrashed(HandlerError):
    """Raised in place of an error of a domain's code that is no ``Exception``, such as ``SystemExit``, or is a store's.

    Only the store itself may report a conflict or that it is unavailable.
    """


class DomainNotFound(HandlerError):
    """Raised by ``load_domains``: a domain cannot be imported. Correct WORKER_DOMAINS, or install the package."""


class InvalidDomain(HandlerError, ValueError):
    """Raised when a ``Domain`` is constructed: its parts do not fit together. The message says which."""


class InvalidDecider(HandlerError, ValueError):
    """Raised by ``Decider``: its ``parts`` or ``decide`` is no plain function."""


class InvalidDecision(HandlerError, TypeError):
    """Raised by ``Domain.decide``: a decider's ``decide`` returns no decision.

    The message names the decider, and the file and line of its ``decide``.
    """


class InvalidState(HandlerError, TypeError):
    """Raised by ``Domain.fold`` and ``Part.evolved``: ``evolve`` returns None although it declares to return a state.

    The message names the view, and the file and line of its ``evolve``.
    """


class InvalidUpcaster(HandlerError, ValueError):
    """Raised by ``Upcaster``: its event, version, fields or function is invalid. The message says which."""


class InvalidView(HandlerError, ValueError):
    """Raised by ``View``: its name, version or a function is invalid, or its ``events`` returns no filter.

    Raised by ``Domain`` when a part is read whose filter would miss older versions of events.
    """


class InvalidKey(HandlerError, ValueError):
    """Raised by ``View.at``, ``View.at_each`` and ``Domain.affinity_key``: a key has a value of a wrong type.

    For a view, also raised if a key has too few or too many values.
    """


class InvalidParts(HandlerError):
    """Raised by ``Domain.reads``: a decider's ``parts`` returns anything but parts that can be read.

    The message names the decider, and the file and line of its ``parts``.
    """


class InvalidProjection(HandlerError, ValueError):
    """Raised by ``Projection`` and ``Table``: a name, version, column or function is invalid."""


class InvalidReaction(HandlerError, ValueError):
    """Raised by ``Reaction`` and ``Send``: a name, filter or function is invalid, or it returns no commands."""


class InvalidRelay(HandlerError, ValueError):
    """Raised by ``Relay``: a name, filter or mode is invalid."""


class InvalidRow(HandlerError, ValueError):
    """Raised when a projection changes a row: its table cannot hold the row, or belongs to another projection."""


class InvalidScenario(HandlerError, ValueError):
    """Raised by ``Scenario``: its name is invalid, or a parameter does not exist or is out of bounds.

    Also raised by a load run if its ``workload`` raises an error, or yields anything but commands of the domain.
    """


class UnknownCommand(HandlerError):
    """Raised by ``Domain``: no decider of the domain takes a command of this name."""


class UnknownView(HandlerError):
    """Raised by ``Domain.view``: the domain lists no view of this name."""


class UnknownProjection(HandlerError):
    """Raised by ``Domain.projection``: the domain lists no projection of this name."""


class InvalidCommand(HandlerError):
    """Raised by ``Domain.parse``: the body does not fit the command. The message names each field and the reason."""


class UnknownEventType(HandlerError):
    """Raised by ``Domain.recorded``: a view's filter matched an event that the domain does not know.

    A decision without it could be wrong. Add the event to the domain, or exclude its type from the filter.
    """


class UnreadableEvent(HandlerError):
    """Raised by ``Domain.recorded``: a recorded event lacks a field, has one of a wrong type, or fails a check.

    Also raised if an upcaster of it failed, or its version is unknown. The message names the event's sequence number
    and the field, or the upcaster's line. Give the field a default or another type, or correct the upcaster.

    Attributes:
        reason: The message without the event's number and type.
        fields: The JSON names of the invalid fields, as far as they are known; by default empty.
    """

    reason: str = ""
    fields: tuple[str, ...] = ()

    @classmethod
    def at(cls, number: int, event_type: str, reason: str, fields: tuple[str, ...] = ()) -> Self:
        """Build the error for an event, with the reason why it cannot be read."""
        made = cls(f"event {number} ({event_type}) cannot be read: {reason}")
        made.reason, made.fields = reason, fields
        return made


class NewerEvent(UnreadableEvent):
    """Raised by ``Domain.recorded``: an event was recorded in a later version than the domain knows.

    A program of a later release recorded it. A worker leaves the command to such a program, as long as it is retried.
    """


class DamagedState(HandlerError, ValueError):
    """Raised when a stored state is read that was damaged, or that is no state of its view.

    The state is ignored, since it can be folded again from the log.
    """
