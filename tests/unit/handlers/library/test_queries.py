"""The library's queries, answered from the events."""

import pytest

from handlers import DomainEvent
from handlers.library import books, domain, lendings, readers
from handlers.library.lendings import LATEST, FinishedLendings, Lending
from handlers.testing import kit
from tests.unit.handlers.library.facts import added, cancelled, lent, registered, removed, returned

given = kit(domain)
HISTORY: tuple[DomainEvent, ...] = (
    added("a"),
    added("b"),
    added("c"),
    registered("ada"),
    registered("bob"),
    registered("eve"),
    lent("a", "ada"),
    lent("b", "ada"),
    lent("c", "bob"),
    returned("b", "ada"),
    removed("b"),
    cancelled("eve"),
)


def test_books_in_circulation() -> None:
    shown = {
        book: books.Book(**added(book).model_dump(exclude={"book_id"}), lent=is_lent)
        for book, is_lent in (("a", True), ("c", True))
    }
    given().sees(books.books_in_circulation.at(), {})
    given(*HISTORY).sees(books.books_in_circulation.at(), shown)
    home = shown["c"].model_copy(update={"lent": False})
    given(*HISTORY, returned("c", "bob")).sees(books.books_in_circulation.at(), shown | {"c": home})


def test_a_copy_returned_after_its_removal_is_not_in_circulation() -> None:
    given(added("a"), lent("a", "ada"), removed("a"), returned("a", "ada")).sees(books.books_in_circulation.at(), {})


def test_removed_books() -> None:
    given(*HISTORY).sees(books.removed_books.at(), {"b"})
    given(*HISTORY, removed("a"), added("b")).sees(books.removed_books.at(), {"a"})


@pytest.mark.parametrize(("reader", "has"), [("ada", {"a"}), ("bob", {"c"}), ("eve", set()), ("nobody", set())])
def test_books_that_are_lent_by_a_reader(reader: str, has: set[str]) -> None:
    given(*HISTORY).sees(lendings.lent_by_reader.at(reader), has)


def test_books_that_are_lent_out() -> None:
    given(*HISTORY).sees(lendings.lent_out.at(), {"a": "ada", "c": "bob"})


def test_finished_lendings() -> None:
    given(*HISTORY).sees(lendings.finished_lendings.at(), FinishedLendings(1, (Lending("b", "ada"),)))
    many = [event for number in range(LATEST + 5) for event in (lent(f"{number}", "ada"), returned(f"{number}", "ada"))]
    latest = tuple(Lending(f"{number}", "ada") for number in range(5, LATEST + 5))
    given(*many).sees(lendings.finished_lendings.at(), FinishedLendings(LATEST + 5, latest))


def test_registered_readers() -> None:
    names = {"ada": "ada Lovelace", "bob": "bob Lovelace"}
    given(*HISTORY).sees(readers.registered_readers.at(), names)
    given(*HISTORY, registered("eve")).sees(readers.registered_readers.at(), names | {"eve": "eve Lovelace"})


def test_cancelled_contracts() -> None:
    given(*HISTORY).sees(readers.cancelled_contracts.at(), {"eve"})
    given(*HISTORY, registered("eve")).sees(readers.cancelled_contracts.at(), set())


def test_the_library_passes_the_examination() -> None:
    assert [*domain.examination.problems(), *domain.examination.unsampled()] == []


def test_the_views_without_a_key_have_stored_states() -> None:
    assert all(view.stored_every for view in domain.views if not view.key)
    assert len([view for view in domain.views if view.stored_every]) == 6
