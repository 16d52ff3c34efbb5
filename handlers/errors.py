"""What domains raise. None of it is retryable: the same command meets the same error until somebody changes code."""

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
    """Raised in place of what a domain's code raises that is no exception, such as ``SystemExit``, or a store's.

    Only a store knows whether there was a conflict, or whether it can be reached.
    """


class DomainNotFound(HandlerError):
    """Raised by ``load_domains``: a domain cannot be imported. Correct WORKER_DOMAINS, or install the package."""


class InvalidDomain(HandlerError, ValueError):
    """Raised when a ``Domain`` is made: its parts do not fit together. The message says which."""


class InvalidDecider(HandlerError, ValueError):
    """Raised by ``Decider``: its ``parts`` or ``decide`` is no plain function."""


class InvalidDecision(HandlerError, TypeError):
    """Raised by ``Domain.decide``: what a decider's ``decide`` returns is no decision.

    The message names the decider, and the file and line of its ``decide``.
    """


class InvalidState(HandlerError, TypeError):
    """Raised by ``Domain.fold`` and ``Part.evolved``: a view's ``evolve`` returns None, and declares to return a state.

    The message names the view, and the file and line of its ``evolve``.
    """


class InvalidUpcaster(HandlerError, ValueError):
    """Raised by ``Upcaster``: its event, version, fields or function cannot be. The message says which."""


class InvalidView(HandlerError, ValueError):
    """Raised by ``View``: its name, version or functions cannot be, or its ``events`` returns no filter.

    Raised by ``Domain`` where a part is read: its filter would miss events of older versions.
    """


class InvalidKey(HandlerError, ValueError):
    """Raised by ``View.at``, ``View.at_each`` and ``Domain.affinity_key``: a key has a value of a wrong type.

    Or, of a view, too few or too many of them.
    """


class InvalidParts(HandlerError):
    """Raised by ``Domain.reads``: what a decider's ``parts`` returns cannot be read.

    The message names the decider, and the file and line of its ``parts``.
    """


class InvalidProjection(HandlerError, ValueError):
    """Raised by ``Projection`` and ``Table``: a name, a version, a column or a function cannot be."""


class InvalidReaction(HandlerError, ValueError):
    """Raised by ``Reaction`` and ``Send``: a name, a filter or a function cannot be, or it returns no commands."""


class InvalidRelay(HandlerError, ValueError):
    """Raised by ``Relay``: a name, a filter or a mode cannot be."""


class InvalidRow(HandlerError, ValueError):
    """Raised where a projection changes a row: a table cannot hold it, or is none of the projection's."""


class InvalidScenario(HandlerError, ValueError):
    """Raised by ``Scenario``: its name has another form, or a parameter does not exist or is out of bounds.

    Raised by a load run: its ``workload`` raises something, or gives what is no command of the domain.
    """


class UnknownCommand(HandlerError):
    """Raised by ``Domain``: no decider of the domain takes a command of this name."""


class UnknownView(HandlerError):
    """Raised by ``Domain.view``: the domain lists no view of this name."""


class UnknownProjection(HandlerError):
    """Raised by ``Domain.projection``: the domain lists no projection of this name."""


class InvalidCommand(HandlerError):
    """Raised by ``Domain.parse``: the body is no such command. The message names each field and the reason."""


class UnknownEventType(HandlerError):
    """Raised by ``Domain.recorded``: a view's filter holds an event that the domain does not know.

    Deciding without it could decide wrongly. Add the event to the domain, or leave its type out of the filter.
    """


class UnreadableEvent(HandlerError):
    """Raised by ``Domain.recorded``: a recorded event lacks a field, has one of another type, or a check of it failed.

    Or an upcaster of it failed, or it has a version that the domain does not know. The message names the event's number
    and the field, or the upcaster's line. Give the field a default or another type, or correct the upcaster.

    Attributes:
        reason: The message without the event.
        fields: The fields that are to blame, by their JSON names, as far as they can be told.
    """

    reason: str = ""
    fields: tuple[str, ...] = ()

    @classmethod
    def at(cls, number: int, event_type: str, reason: str, fields: tuple[str, ...] = ()) -> Self:
        """Say of an event why it cannot be read."""
        made = cls(f"event {number} ({event_type}) cannot be read: {reason}")
        made.reason, made.fields = reason, fields
        return made


class NewerEvent(UnreadableEvent):
    """Raised by ``Domain.recorded``: an event was recorded in a later version than the domain knows.

    A program of a later release records it. A worker leaves the command to one, for as long as commands are tried.
    """


class DamagedState(HandlerError, ValueError):
    """Raised where a stored state is read: it is not as it was stored, or no state of its view.

    It is passed over: the log has all of it.
    """
