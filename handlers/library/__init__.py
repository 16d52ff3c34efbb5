"""The example domain: a library that lends books. ``WORKER_DOMAINS=handlers.library:domain`` serves it."""

from handlers.domain import Domain
from handlers.library import (
    add_book_copy,
    books,
    cancel_reader_contract,
    events,
    lend_book_copy,
    lendings,
    mark_loan_overdue,
    projections,
    reactions,
    readers,
    register_reader,
    release_reservations,
    remove_book_copy,
    reserve_book_copy,
    return_book_copy,
)
from handlers.library.book_copy import book_copy
from handlers.library.contract import contract
from handlers.library.invariants import invariants
from handlers.library.loan import loan
from handlers.library.reader import reader
from handlers.library.reservations import reservations
from handlers.library.scenarios import scenarios

__all__ = ["domain"]

domain = Domain(
    name="library",
    views=(
        book_copy,
        reader,
        contract,
        loan,
        reservations,
        books.books_in_circulation,
        books.removed_books,
        lendings.lent_by_reader,
        lendings.lent_out,
        lendings.finished_lendings,
        readers.registered_readers,
        readers.cancelled_contracts,
    ),
    deciders=(
        add_book_copy.decider,
        remove_book_copy.decider,
        register_reader.decider,
        cancel_reader_contract.decider,
        lend_book_copy.decider,
        return_book_copy.decider,
        mark_loan_overdue.decider,
        reserve_book_copy.decider,
        release_reservations.decider,
    ),
    events=(
        events.BookCopyAddedToCirculation,
        events.BookCopyRemovedFromCirculation,
        events.ReaderRegistered,
        events.ReaderContractCanceled,
        events.BookCopyLentToReader,
        events.BookCopyReturnedByReader,
        events.LoanDueDateAgreed,
        events.LoanBecameOverdue,
        events.BookCopyReservedByReader,
        events.ReservationReleased,
        events.RemovingBookFromCirculationFailed,
        events.CancelingReaderContractFailed,
        events.LendingBookToReaderFailed,
        events.ReturningBookFromReaderFailed,
    ),
    projections=(projections.lent_out, projections.readers_lendings),
    reactions=(reactions.release, reactions.overdue),
    relays=(reactions.announcements,),
    invariants=invariants,
    scenarios=scenarios,
)
