"""The invariants of a library, which hold after every event. Checked over whole logs, independently of the deciders."""

from collections import defaultdict

from handlers.invariant import Check, Invariant
from handlers.library.events import (
    BookCopyAddedToCirculation,
    BookCopyLentToReader,
    BookCopyRemovedFromCirculation,
    BookCopyReturnedByReader,
    LoanBecameOverdue,
    LoanDueDateAgreed,
    ReaderContractCanceled,
    ReaderRegistered,
)
from handlers.library.lend_book_copy import MOST_BOOKS
from handlers.model import DomainEvent

__all__ = ["invariants"]


def _one_reader_a_copy() -> Check:
    holders: dict[str, str] = {}

    def check(number: int, event: DomainEvent) -> str | None:
        match event:
            case BookCopyLentToReader(book_id=book, reader_id=reader):
                holder = holders.get(book)
                holders[book] = reader
                if holder is not None:
                    return f"event {number} lends book {book} to {reader} while {holder} has it"
            case BookCopyReturnedByReader(book_id=book, reader_id=reader):
                holder_or_none = holders.pop(book, None)
                if holder_or_none != reader:
                    return (
                        f"event {number} takes book {book} back from {reader}, but {holder_or_none or 'nobody'} has it"
                    )
        return None

    return check


def _quota() -> Check:
    loans: defaultdict[str, int] = defaultdict(int)

    def check(number: int, event: DomainEvent) -> str | None:
        match event:
            case BookCopyLentToReader(reader_id=reader):
                loans[reader] += 1
                if loans[reader] > MOST_BOOKS:
                    return f"event {number} gives {reader} book number {loans[reader]}"
            case BookCopyReturnedByReader(reader_id=reader):
                loans[reader] -= 1
        return None

    return check


def _circulation() -> Check:
    circulating: set[str] = set()
    lent: set[str] = set()

    def check(number: int, event: DomainEvent) -> str | None:
        match event:
            case BookCopyAddedToCirculation(book_id=book):
                if book in circulating:
                    return f"event {number} adds book {book}, which is in circulation"
                circulating.add(book)
            case BookCopyRemovedFromCirculation(book_id=book):
                if book not in circulating or book in lent:
                    return f"event {number} removes book {book}, which is lent or not in circulation"
                circulating.remove(book)
            case BookCopyLentToReader(book_id=book):
                lent.add(book)
                if book not in circulating:
                    return f"event {number} lends book {book}, which is not in circulation"
            case BookCopyReturnedByReader(book_id=book):
                lent.discard(book)
        return None

    return check


def _contracts() -> Check:
    registered: set[str] = set()
    loans: defaultdict[str, int] = defaultdict(int)

    def check(number: int, event: DomainEvent) -> str | None:
        match event:
            case ReaderRegistered(reader_id=reader):
                if reader in registered:
                    return f"event {number} registers {reader}, who is registered"
                registered.add(reader)
            case ReaderContractCanceled(reader_id=reader):
                if reader not in registered:
                    return f"event {number} cancels the contract of {reader}, who is not registered"
                registered.remove(reader)
                if loans[reader]:
                    return f"event {number} cancels the contract of {reader}, who has {loans[reader]} books"
            case BookCopyLentToReader(reader_id=reader):
                loans[reader] += 1
                if reader not in registered:
                    return f"event {number} lends a book to {reader}, who is not registered"
            case BookCopyReturnedByReader(reader_id=reader):
                loans[reader] -= 1
        return None

    return check


def _overdue() -> Check:
    due: dict[str, LoanDueDateAgreed] = {}

    def check(number: int, event: DomainEvent) -> str | None:
        match event:
            case LoanDueDateAgreed(book_id=book):
                due[book] = event
            case BookCopyLentToReader(book_id=book) | BookCopyReturnedByReader(book_id=book):
                due.pop(book, None)
            case LoanBecameOverdue(book_id=book, reader_id=reader, due_at=due_at):
                agreed = due.pop(book, None)  # a loan becomes overdue once
                if agreed is None or (agreed.reader_id, agreed.due_at) != (reader, due_at):
                    return f"event {number} has book {book} overdue, which {reader} was not to bring back by then"
        return None

    return check


invariants = (
    Invariant(name="a copy is lent to one reader at a time", start=_one_reader_a_copy),
    Invariant(name=f"a reader has at most {MOST_BOOKS} books", start=_quota),
    Invariant(name="only copies in circulation are lent, and lent copies stay in circulation", start=_circulation),
    Invariant(name="only what was to be back by a time becomes overdue, once", start=_overdue),
    Invariant(name="only registered readers lend, and readers with loans stay registered", start=_contracts),
)
