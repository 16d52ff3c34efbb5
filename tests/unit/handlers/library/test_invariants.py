"""Each invariant holds for a correct log, and reports the event that breaks it."""

import pytest

from handlers.decider import DomainEvent
from handlers.library import domain
from tests.unit.handlers.library.facts import added, cancelled, due, lent, overdue, registered, removed, returned

ONE_READER, QUOTA, CIRCULATION, OVERDUE, CONTRACTS = domain.invariants
SHELF = [f"book {number}" for number in range(11)]

History = tuple[DomainEvent, ...]


def broken(history: History) -> dict[str, list[str]]:
    """The message of each broken invariant, by its name."""
    found: dict[str, list[str]] = {}
    for invariant in domain.invariants:
        check = invariant.start()
        said = [text for number, event in enumerate(history, start=1) if (text := check(number, event)) is not None]
        if said:
            found[invariant.name] = said
    return found


@pytest.mark.parametrize(
    "history",
    [
        (),
        (added("a"), removed("a"), added("a"), removed("a")),
        (registered("r"), cancelled("r"), registered("r"), cancelled("r")),
        (
            added("a"),
            registered("r"),
            registered("s"),
            lent("a", "r"),
            returned("a", "r"),
            lent("a", "s"),
            returned("a", "s"),
            cancelled("s"),
            removed("a"),
        ),
        (
            registered("r"),
            *map(added, SHELF),
            *(lent(book, "r") for book in SHELF[:10]),
            returned(SHELF[0], "r"),
            lent(SHELF[10], "r"),
        ),
    ],
)
def test_a_correct_log_breaks_none(history: History) -> None:
    assert broken(history) == {}


@pytest.mark.parametrize(
    ("name", "history", "said"),
    [
        (
            ONE_READER.name,
            (added("a"), registered("r"), registered("s"), lent("a", "r"), lent("a", "s")),
            "event 5 lends book a to s while r has it",
        ),
        (
            ONE_READER.name,
            (added("a"), registered("r"), lent("a", "r"), lent("a", "r")),
            "event 4 lends book a to r while r has it",
        ),
        (
            ONE_READER.name,
            (added("a"), registered("r"), registered("s"), lent("a", "r"), returned("a", "s")),
            "event 5 takes book a back from s, but r has it",
        ),
        (
            ONE_READER.name,
            (added("a"), registered("r"), lent("a", "r"), returned("a", "r"), returned("a", "r")),
            "event 5 takes book a back from r, but nobody has it",
        ),
        (
            QUOTA.name,
            (registered("r"), *map(added, SHELF), *(lent(book, "r") for book in SHELF)),
            "event 23 gives r book number 11",
        ),
        (CIRCULATION.name, (added("a"), added("a")), "event 2 adds book a, which is in circulation"),
        (CIRCULATION.name, (removed("a"),), "event 1 removes book a, which is lent or not in circulation"),
        (
            CIRCULATION.name,
            (added("a"), registered("r"), lent("a", "r"), removed("a")),
            "event 4 removes book a, which is lent or not in circulation",
        ),
        (CIRCULATION.name, (registered("r"), lent("a", "r")), "event 2 lends book a, which is not in circulation"),
        (
            CIRCULATION.name,
            (added("a"), removed("a"), registered("r"), lent("a", "r")),
            "event 4 lends book a, which is not in circulation",
        ),
        (CONTRACTS.name, (registered("r"), registered("r")), "event 2 registers r, who is registered"),
        (CONTRACTS.name, (cancelled("r"),), "event 1 cancels the contract of r, who is not registered"),
        (
            CONTRACTS.name,
            (added("a"), registered("r"), lent("a", "r"), cancelled("r")),
            "event 4 cancels the contract of r, who has 1 books",
        ),
        (
            OVERDUE.name,
            (added("a"), registered("r"), lent("a", "r"), due("a", "r"), overdue("a", "r"), overdue("a", "r")),
            "event 6 has book a overdue, which r was not to bring back by then",
        ),
        (
            OVERDUE.name,
            (added("a"), registered("r"), lent("a", "r"), due("a", "r"), returned("a", "r"), overdue("a", "r")),
            "event 6 has book a overdue, which r was not to bring back by then",
        ),
        (CONTRACTS.name, (added("a"), lent("a", "r")), "event 2 lends a book to r, who is not registered"),
    ],
)
def test_a_wrong_log_breaks_the_invariant_and_its_event_is_named(name: str, history: History, said: str) -> None:
    assert broken(history[:-1]) == {}
    assert broken(history)[name] == [said]


def test_invariants_have_unique_names() -> None:
    assert len({invariant.name for invariant in domain.invariants}) == len(domain.invariants) == 5
