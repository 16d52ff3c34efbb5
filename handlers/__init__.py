"""The framework for domains: views, deciders, events and invariants; and the reader, which queries views on any store.

It imports no broker and no database; only the reader, and what it uses, awaits anything.
"""

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.domain import Domain
from handlers.erasure.forgetting import SubjectForgotten
from handlers.erasure.master_key import InvalidMasterKey, MasterKeys
from handlers.erasure.sensitive import Sensitive
from handlers.errors import (
    DamagedState,
    DomainNotFound,
    HandlerCrashed,
    HandlerError,
    InvalidCommand,
    InvalidDecider,
    InvalidDecision,
    InvalidDomain,
    InvalidKey,
    InvalidParts,
    InvalidProjection,
    InvalidReaction,
    InvalidRelay,
    InvalidRow,
    InvalidScenario,
    InvalidState,
    InvalidUpcaster,
    InvalidView,
    NewerEvent,
    UnknownCommand,
    UnknownEventType,
    UnknownProjection,
    UnknownView,
    UnreadableEvent,
)
from handlers.invariant import Check, Invariant
from handlers.model import Command, DomainEvent
from handlers.part import Part, PartIdentity, Parts
from handlers.persistent import PersistentMap, PersistentSet
from handlers.projection import Projected, Projection
from handlers.reaction import Reaction, Send
from handlers.reader import Answer, Reader
from handlers.reads import Reads
from handlers.registry import load_domains
from handlers.relay import Relay
from handlers.row_change import Change, Delete, Insert, Row, Statement, Update, Upsert
from handlers.scenario import Scenario, Workload, parameter
from handlers.table import Table
from handlers.upcaster import Upcaster
from handlers.view import View

__all__ = [
    "Accepted",
    "Answer",
    "Change",
    "Check",
    "Command",
    "DamagedState",
    "Decider",
    "Decision",
    "Delete",
    "Domain",
    "DomainEvent",
    "DomainNotFound",
    "HandlerCrashed",
    "HandlerError",
    "Insert",
    "InvalidCommand",
    "InvalidDecider",
    "InvalidDecision",
    "InvalidDomain",
    "InvalidKey",
    "InvalidMasterKey",
    "InvalidParts",
    "InvalidProjection",
    "InvalidReaction",
    "InvalidRelay",
    "InvalidRow",
    "InvalidScenario",
    "InvalidState",
    "InvalidUpcaster",
    "InvalidView",
    "Invariant",
    "MasterKeys",
    "NewerEvent",
    "Part",
    "PartIdentity",
    "Parts",
    "PersistentMap",
    "PersistentSet",
    "Projected",
    "Projection",
    "Reaction",
    "Reader",
    "Reads",
    "Rejected",
    "Relay",
    "Row",
    "Scenario",
    "Send",
    "Sensitive",
    "Statement",
    "SubjectForgotten",
    "Table",
    "Unchanged",
    "UnknownCommand",
    "UnknownEventType",
    "UnknownProjection",
    "UnknownView",
    "UnreadableEvent",
    "Upcaster",
    "Update",
    "Upsert",
    "View",
    "Workload",
    "load_domains",
    "parameter",
]
