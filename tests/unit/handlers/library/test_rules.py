"""Every rule of the library: given a history, when a command is decided, then this is the decision.

Each history also contains events of other books and readers, which must change nothing.
"""

from datetime import datetime, timedelta

import pytest

from handlers.decider import Command, DomainEvent
from handlers.library import domain, events
from handlers.library.cancel_reader_contract import CancelReaderContract
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.mark_loan_overdue import MarkLoanOverdue
from handlers.library.register_reader import RegisterReader
from handlers.library.release_reservations import ReleaseReservations
from handlers.library.remove_book_copy import RemoveBookCopyFromCirculation
from handlers.library.reserve_book_copy import ReserveBookCopy
from handlers.library.return_book_copy import ReturnBookCopyFromReader
from handlers.testing import Given, accepted, kit, rejected, unchanged
from tests.unit.handlers.library.facts import (
    DUE,
    add,
    added,
    cancelled,
    due,
    lent,
    overdue,
    registered,
    removed,
    reserved,
    returned,
)

BOOK, READER = "book", "ada"
OTHERS = (
    added("other book"),
    registered("bob"),
    lent("other book", "bob"),
    added("third book"),
    removed("third book"),
    registered("eve"),
    cancelled("eve"),
)
QUOTA = 10

History = tuple[DomainEvent, ...]


def given(*history: DomainEvent) -> Given:
    return kit(domain)(*OTHERS, *history)


def having(count: int) -> History:
    """A reader with ``count`` books, and a copy to lend."""
    shelf = [f"shelf {number}" for number in range(count)]
    return (added(BOOK), registered(READER), *map(added, shelf), *(lent(book, READER) for book in shelf))


# Adding a copy


@pytest.mark.parametrize(
    "history",
    [
        (),
        (added(BOOK), removed(BOOK)),
        (added(BOOK), removed(BOOK), added(BOOK), removed(BOOK)),
    ],
)
def test_a_copy_that_is_not_in_circulation_is_added(history: History) -> None:
    given(*history).when(add(BOOK)).then(accepted(added(BOOK)))


@pytest.mark.parametrize(
    "history",
    [
        (added(BOOK),),
        (added(BOOK), removed(BOOK), added(BOOK)),
        (added(BOOK), registered(READER), lent(BOOK, READER)),
    ],
)
def test_adding_a_copy_that_is_in_circulation_changes_nothing(history: History) -> None:
    given(*history).when(add(BOOK)).then(unchanged())


# Removing a copy


@pytest.mark.parametrize(
    "history",
    [
        (added(BOOK),),
        (added(BOOK), removed(BOOK), added(BOOK)),
        (added(BOOK), registered(READER), lent(BOOK, READER), returned(BOOK, READER)),
    ],
)
def test_a_copy_that_is_not_lent_is_removed(history: History) -> None:
    given(*history).when(RemoveBookCopyFromCirculation(book_id=BOOK)).then(accepted(removed(BOOK)))


def test_removing_a_copy_that_is_removed_changes_nothing() -> None:
    given(added(BOOK), removed(BOOK)).when(RemoveBookCopyFromCirculation(book_id=BOOK)).then(unchanged())


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ((), "book was never added to circulation"),
        ((added(BOOK), registered(READER), lent(BOOK, READER)), "book is currently lent"),
        (
            (
                added(BOOK),
                registered(READER),
                lent(BOOK, READER),
                returned(BOOK, READER),
                lent(BOOK, "bob"),
            ),
            "book is currently lent",
        ),
    ],
)
def test_a_copy_that_is_lent_or_was_never_there_is_not_removed(history: History, reason: str) -> None:
    given(*history).when(RemoveBookCopyFromCirculation(book_id=BOOK)).then(
        rejected(reason, events.RemovingBookFromCirculationFailed(book_id=BOOK, reason=reason))
    )


# Registering a reader


@pytest.mark.parametrize("history", [(), (registered(READER), cancelled(READER))])
def test_a_reader_without_a_contract_is_registered(history: History) -> None:
    given(*history).when(RegisterReader(reader_id=READER, name="ada Lovelace")).then(accepted(registered(READER)))


@pytest.mark.parametrize(
    "history", [(registered(READER),), (registered(READER), cancelled(READER), registered(READER))]
)
def test_registering_a_reader_who_is_registered_changes_nothing(history: History) -> None:
    given(*history).when(RegisterReader(reader_id=READER, name="Ada King")).then(unchanged())


# Cancelling a contract


@pytest.mark.parametrize(
    "history",
    [
        (registered(READER),),
        (registered(READER), cancelled(READER), registered(READER)),
        (added(BOOK), registered(READER), lent(BOOK, READER), returned(BOOK, READER)),
    ],
)
def test_the_contract_of_a_reader_without_loans_is_cancelled(history: History) -> None:
    given(*history).when(CancelReaderContract(reader_id=READER)).then(accepted(cancelled(READER)))


def test_cancelling_a_contract_that_is_cancelled_changes_nothing() -> None:
    given(registered(READER), cancelled(READER)).when(CancelReaderContract(reader_id=READER)).then(unchanged())


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ((), "reader was never registered"),
        ((added(BOOK), registered(READER), lent(BOOK, READER)), "reader has outstanding loans"),
        ((*having(2), returned("shelf 0", READER)), "reader has outstanding loans"),
    ],
)
def test_the_contract_of_a_reader_with_loans_or_an_unknown_reader_is_not_cancelled(
    history: History, reason: str
) -> None:
    given(*history).when(CancelReaderContract(reader_id=READER)).then(
        rejected(reason, events.CancelingReaderContractFailed(reader_id=READER, reason=reason))
    )


# Lending a copy


@pytest.mark.parametrize(
    "history",
    [
        (added(BOOK), registered(READER)),
        (added(BOOK), removed(BOOK), added(BOOK), registered(READER)),
        (added(BOOK), registered(READER), cancelled(READER), registered(READER)),
        (added(BOOK), registered(READER), lent(BOOK, READER), returned(BOOK, READER)),
        (added(BOOK), lent(BOOK, "bob"), returned(BOOK, "bob"), registered(READER)),
        having(QUOTA - 1),
        (*having(QUOTA), returned("shelf 3", READER)),
        # As many returns as loans: all ten are back.
        (*having(QUOTA), *(returned(f"shelf {number}", READER) for number in range(QUOTA))),
    ],
)
def test_a_copy_is_lent_to_a_reader(history: History) -> None:
    given(*history).when(LendBookCopyToReader(book_id=BOOK, reader_id=READER)).then(accepted(lent(BOOK, READER)))


@pytest.mark.parametrize(
    "history",
    [
        (added(BOOK), registered(READER), lent(BOOK, READER)),
        (*having(QUOTA - 1), lent(BOOK, READER)),
    ],
)
def test_lending_a_copy_to_the_reader_who_has_it_changes_nothing(history: History) -> None:
    given(*history).when(LendBookCopyToReader(book_id=BOOK, reader_id=READER)).then(unchanged())


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ((), "reader is not registered"),
        ((added(BOOK),), "reader is not registered"),
        ((added(BOOK), registered(READER), cancelled(READER)), "reader is not registered"),
        ((registered(READER),), "book is not in circulation"),
        ((added(BOOK), removed(BOOK), registered(READER)), "book is not in circulation"),
        ((added(BOOK), registered(READER), lent(BOOK, "bob")), "book is lent to another reader"),
        (
            (added(BOOK), registered(READER), lent(BOOK, READER), returned(BOOK, READER), lent(BOOK, "bob")),
            "book is lent to another reader",
        ),
        ((*having(QUOTA), lent(BOOK, "bob")), "book is lent to another reader"),
        (having(QUOTA), "reader has 10 books"),
        # One return in between allows one more loan, not two.
        (
            (*having(QUOTA), returned("shelf 3", READER), added("one more"), lent("one more", READER)),
            "reader has 10 books",
        ),
    ],
)
def test_a_copy_is_not_lent_against_the_rules(history: History, reason: str) -> None:
    failure = events.LendingBookToReaderFailed(book_id=BOOK, reader_id=READER, reason=reason)
    given(*history).when(LendBookCopyToReader(book_id=BOOK, reader_id=READER)).then(rejected(reason, failure))


# Returning a copy


@pytest.mark.parametrize(
    "history",
    [
        (added(BOOK), registered(READER), lent(BOOK, READER)),
        (added(BOOK), registered(READER), lent(BOOK, READER), returned(BOOK, READER), lent(BOOK, READER)),
        (added(BOOK), registered(READER), lent(BOOK, "bob"), returned(BOOK, "bob"), lent(BOOK, READER)),
        # No decision records these two, but a reader can always return a copy.
        (added(BOOK), registered(READER), lent(BOOK, READER), removed(BOOK)),
        (added(BOOK), registered(READER), lent(BOOK, READER), cancelled(READER)),
    ],
)
def test_a_copy_is_taken_back_from_the_reader_who_has_it(history: History) -> None:
    given(*history).when(ReturnBookCopyFromReader(book_id=BOOK, reader_id=READER)).then(
        accepted(returned(BOOK, READER))
    )


@pytest.mark.parametrize("later", [(), (removed(BOOK),), (cancelled(READER),), (cancelled(READER), registered(READER))])
def test_returning_a_copy_again_changes_nothing(later: History) -> None:
    history = (added(BOOK), registered(READER), lent(BOOK, READER), returned(BOOK, READER))
    given(*history, *later).when(ReturnBookCopyFromReader(book_id=BOOK, reader_id=READER)).then(unchanged())


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ((), "book was never added to circulation"),
        ((registered(READER),), "book was never added to circulation"),
        ((added(BOOK),), "reader was never registered"),
        ((added(BOOK), lent(BOOK, "bob")), "reader was never registered"),
        ((added(BOOK), registered(READER)), "book is not lent to this reader"),
        ((added(BOOK), registered(READER), lent(BOOK, "bob")), "book is not lent to this reader"),
        (
            (added(BOOK), registered(READER), lent(BOOK, "bob"), returned(BOOK, "bob")),
            "book is not lent to this reader",
        ),
        # The last loan counts, not an earlier one.
        (
            (added(BOOK), registered(READER), lent(BOOK, READER), returned(BOOK, READER), lent(BOOK, "bob")),
            "book is not lent to this reader",
        ),
    ],
)
def test_a_copy_is_not_taken_back_from_another_reader(history: History, reason: str) -> None:
    failure = events.ReturningBookFromReaderFailed(book_id=BOOK, reader_id=READER, reason=reason)
    given(*history).when(ReturnBookCopyFromReader(book_id=BOOK, reader_id=READER)).then(rejected(reason, failure))


# Reservations


def test_a_reservation_lasts_until_the_copy_is_lent_to_the_reader() -> None:
    history = (added(BOOK), registered(READER), registered("bob"), lent(BOOK, "bob"))
    reserve = ReserveBookCopy(book_id=BOOK, reader_id=READER)
    given(*history).when(reserve).then(accepted(reserved(BOOK, READER))).then_again(unchanged())
    had = (*history, reserved(BOOK, READER), returned(BOOK, "bob"), lent(BOOK, READER))
    given(*had).when(reserve).then(accepted(reserved(BOOK, READER)))


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ((added(BOOK),), "reader is not registered"),
        ((registered(READER),), "book is not in circulation"),
        (
            (added(BOOK), registered(READER), *(reserved(f"b{number}", READER) for number in range(10))),
            "reader has 10 reservations",
        ),
    ],
)
def test_a_copy_is_not_reserved(history: History, reason: str) -> None:
    given(*history).when(ReserveBookCopy(book_id=BOOK, reader_id=READER)).then(rejected(reason))


def test_a_cancelled_contract_ends_the_readers_reservations() -> None:
    history = (registered(READER), reserved("b", READER), reserved("a", READER), reserved("c", "bob"))
    release = ReleaseReservations(reader_id=READER)
    given(*history).when(release).then(unchanged())
    released = (events.ReservationReleased(book_id=book, reader_id=READER) for book in "ab")
    given(*history, cancelled(READER)).when(release).then(accepted(*released)).then_again(unchanged())
    given(*history, cancelled(READER), registered(READER)).when(release).then(unchanged())


# All commands


@pytest.mark.parametrize(
    "command",
    [
        add(BOOK),
        RemoveBookCopyFromCirculation(book_id=BOOK),
        RegisterReader(reader_id=READER, name="Ada"),
        CancelReaderContract(reader_id=READER),
        LendBookCopyToReader(book_id=BOOK, reader_id=READER),
        ReturnBookCopyFromReader(book_id=BOOK, reader_id=READER),
        ReserveBookCopy(book_id=BOOK, reader_id=READER),
        ReleaseReservations(reader_id=READER),
    ],
)
def test_a_recorded_failure_changes_no_decision(command: Command) -> None:
    failures = (
        events.RemovingBookFromCirculationFailed(book_id=BOOK, reason="…"),
        events.CancelingReaderContractFailed(reader_id=READER, reason="…"),
        events.LendingBookToReaderFailed(book_id=BOOK, reader_id=READER, reason="…"),
        events.ReturningBookFromReaderFailed(book_id=BOOK, reader_id=READER, reason="…"),
    )
    for history in ((), (added(BOOK), registered(READER)), (added(BOOK), registered(READER), lent(BOOK, READER))):
        when = given(*history, *failures).when(command)
        when.then(given(*history).when(command).decision)
        # Failure events grow in number with every refusal; a boundary without them does not.
        assert not [event for event in when.seen if event.type.endswith("Failed")]


# Loans that are due


ON_LOAN = (added(BOOK), registered(READER), lent(BOOK, READER), due(BOOK, READER))
EARLIER, LATER = DUE - timedelta(days=1), DUE + timedelta(days=1)


def overdue_at(at: datetime) -> MarkLoanOverdue:
    return MarkLoanOverdue(book_id=BOOK, reader_id=READER, at=at)


def test_a_lending_with_a_period_has_a_due_time() -> None:
    lend = LendBookCopyToReader(book_id=BOOK, reader_id=READER, due_at=DUE)
    given(added(BOOK), registered(READER)).when(lend).then(accepted(lent(BOOK, READER), due(BOOK, READER)))


@pytest.mark.parametrize("at", [DUE, LATER])
def test_a_loan_becomes_overdue_by_the_command_for_its_due_time(at: datetime) -> None:
    given(*ON_LOAN).when(overdue_at(at)).then(accepted(overdue(BOOK, READER))).then_again(unchanged())


@pytest.mark.parametrize(
    "history", [ON_LOAN, (*ON_LOAN, returned(BOOK, READER), lent(BOOK, READER), due(BOOK, READER))]
)
def test_a_loan_is_not_overdue_before_its_due_time(history: History) -> None:
    given(*history).when(overdue_at(EARLIER)).then(rejected("loan is not due yet"))


@pytest.mark.parametrize(
    "history",
    [
        (),
        ON_LOAN[:3],
        (*ON_LOAN, returned(BOOK, READER)),
        (*ON_LOAN, overdue(BOOK, READER)),
        (*ON_LOAN, returned(BOOK, READER), registered("bob"), lent(BOOK, "bob"), due(BOOK, "bob")),
        (*ON_LOAN, overdue(BOOK, READER), returned(BOOK, READER), lent(BOOK, READER)),
    ],
)
def test_a_returned_copy_or_a_loan_without_a_due_time_is_never_overdue(history: History) -> None:
    given(*history).when(overdue_at(LATER)).then(unchanged())


def test_a_lending_reads_all_events_of_the_copy_and_of_the_reader() -> None:
    history = (
        added(BOOK),
        lent(BOOK, "bob"),
        returned(BOOK, "bob"),
        registered(READER),
        lent("third book", READER),
    )
    seen = given(*history).when(LendBookCopyToReader(book_id=BOOK, reader_id=READER)).seen
    assert [event.sequence_number - len(OTHERS) for event in seen] == [1, 2, 3, 4, 5]


def test_the_domain_is_complete() -> None:
    assert {decider.name for decider in domain.deciders} == {
        "AddBookCopyToCirculation",
        "RemoveBookCopyFromCirculation",
        "RegisterReader",
        "CancelReaderContract",
        "LendBookCopyToReader",
        "ReturnBookCopyFromReader",
        "MarkLoanOverdue",
        "ReserveBookCopy",
        "ReleaseReservations",
    }
    fields = {
        event.__name__: sorted(field.alias or name for name, field in event.model_fields.items())
        for event in domain.events
    }
    assert fields["BookCopyLentToReader"] == fields["BookCopyReturnedByReader"] == ["BookID", "ReaderID"]
    assert fields["LendingBookToReaderFailed"] == ["BookID", "ReaderID", "Reason"]
    assert sum(name.endswith("Failed") for name in fields) == 4
    assert len(fields) == 14
