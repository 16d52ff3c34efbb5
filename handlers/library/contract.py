"""A reader's contract, without loans: commands that need only the contract do not conflict with lendings."""

from dataclasses import dataclass

from eventstore import Filter, P
from handlers.library.events import ReaderContractCanceled, ReaderRegistered
from handlers.model import DomainEvent
from handlers.view import View

__all__ = ["Contract", "contract"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The state of a contract.

    Attributes:
        ever: Whether the reader ever had a contract.
        valid: Whether the reader has a contract now.
    """

    ever: bool = False
    valid: bool = False


def _events(reader_id: str) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(ReaderRegistered.__name__, ReaderContractCanceled.__name__)
        .and_any_predicate_of(P("ReaderID", reader_id))
    )


def _evolve(contract: Contract, event: DomainEvent) -> Contract:
    match event:
        case ReaderRegistered():
            return Contract(ever=True, valid=True)
        case ReaderContractCanceled():
            return Contract(ever=contract.ever, valid=False)
        case _:
            return contract


contract = View(name="contract", events=_events, initial=lambda _: Contract(), evolve=_evolve)
