"""What domains raise. None of it is retryable: the same command meets the same error until somebody changes code."""

__all__ = [
    "DomainNotFound",
    "HandlerError",
    "InvalidCommand",
    "InvalidDomain",
    "InvalidScenario",
    "UnknownCommand",
    "UnknownEventType",
    "UnreadableEvent",
]


class HandlerError(Exception):
    """Base of every error that the framework for domains raises."""


class DomainNotFound(HandlerError):
    """Raised by ``load_domains``: a domain cannot be imported. Correct WORKER_DOMAINS, or install the package."""


class InvalidDomain(HandlerError, ValueError):
    """Raised when a ``Domain`` is made: its parts do not fit together. The message says which."""


class InvalidScenario(HandlerError, ValueError):
    """Raised by ``Scenario``: its name has another form, or a parameter does not exist or is out of bounds."""


class UnknownCommand(HandlerError):
    """Raised by ``Domain``: no decider of the domain takes a command of this name."""


class InvalidCommand(HandlerError):
    """Raised by ``Domain.parse``: the body is no such command. The message names each field and the reason."""


class UnknownEventType(HandlerError):
    """Raised by ``Domain.recorded``: the boundary holds an event that the domain does not know.

    Deciding without it could decide wrongly. Add the event to the domain, or leave its type out of the boundary.
    """


class UnreadableEvent(HandlerError):
    """Raised by ``Domain.recorded``: a recorded event lacks a field, or has one of another type.

    The message names the event's number and the field. Give the field a default, or another type.
    """
