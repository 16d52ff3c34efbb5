"""What a domain is made of: pure deciders, events, invariants. Knows no broker, no database and no event loop."""

from handlers.decider import Accepted, Command, Decider, Decision, DomainEvent, Rejected, Unchanged
from handlers.domain import Domain, Invariant
from handlers.errors import (
    DomainNotFound,
    HandlerError,
    InvalidCommand,
    InvalidDomain,
    InvalidScenario,
    UnknownCommand,
    UnknownEventType,
    UnreadableEvent,
)
from handlers.registry import load_domains
from handlers.scenario import Scenario, Workload, parameter

__all__ = [
    "Accepted",
    "Command",
    "Decider",
    "Decision",
    "Domain",
    "DomainEvent",
    "DomainNotFound",
    "HandlerError",
    "InvalidCommand",
    "InvalidDomain",
    "InvalidScenario",
    "Invariant",
    "Rejected",
    "Scenario",
    "Unchanged",
    "UnknownCommand",
    "UnknownEventType",
    "UnreadableEvent",
    "Workload",
    "load_domains",
    "parameter",
]
