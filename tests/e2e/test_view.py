"""``worker view``: what the views of a domain say, and what is told to who asks wrongly."""

import re

import pytest

from eventstore import Event
from eventstore.postgres import PostgresEventStore
from tests.e2e.numbers import broken
from tests.e2e.program import Worker
from tests.support.fixtures.databases import Database

BOOK = {
    "BookID": "b1",
    "ISBN": "1",
    "Title": "Momo",
    "Authors": "Ende",
    "Edition": "1st",
    "Publisher": "T",
    "PublicationYear": 1973,
}


async def lent(database: Database) -> str:
    """Record a lending, and return the position after it."""
    async with PostgresEventStore.connect(database.url, pool_size=1) as store:
        receipt = await store.append(
            [
                Event(type="BookCopyAddedToCirculation", payload=BOOK),
                Event(type="ReaderRegistered", payload={"ReaderID": "ada", "Name": "Ada"}),
                Event(type="BookCopyLentToReader", payload={"BookID": "b1", "ReaderID": "ada"}),
            ]
        )
    return str(receipt.position)


async def test_a_view_is_asked_at_its_key(worker: Worker, database: Database) -> None:
    position = await lent(database)
    assert (await worker("view", "lent-by-reader", "ada")).document() == ["b1"]
    assert (await worker("view", "lent-out", "--min-position", position)).document() == {"b1": "ada"}
    books = (await worker("view", "books-in-circulation", "--replica", "--min-position", position, "--json")).document()
    assert (books["view"], books["key"], books["position"]) == ("books-in-circulation", [], position)
    assert books["state"]["b1"]["title"] == "Momo"
    assert (await worker("view", "finished-lendings")).document() == {"count": 0, "latest": []}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("lent-by-raeder", "ada"),
            (
                "there is no view 'lent-by-raeder'; did you mean lent-by-reader? Known are book-copy, "
                "books-in-circulation, cancelled-contracts, contract, finished-lendings, lent-by-reader, lent-out, "
                "loan, reader, registered-readers, removed-books, reservations."
            ),
        ),
        (
            ("lent-by-reader",),
            "the view lent-by-reader has a key of 1 value, not 0: worker view lent-by-reader READER_ID.",
        ),
        (("lent-out", "ada"), "the view lent-out has no key: worker view lent-out."),
        (
            ("lent-by-reader", "a\ud800"),
            "reader_id of the view lent-by-reader contains a NUL character or a lone surrogate.",
        ),
        (("lent-out", "--domain", "shop"), "there is no domain 'shop' in WORKER_DOMAINS; it names library."),
        (("lent-out", "--min-position", "5"), "--min-position: a position is written as number:token, not '5'."),
    ],
)
async def test_mistakes_are_told_in_a_sentence(worker: Worker, arguments: tuple[str, ...], sentence: str) -> None:
    if any("\ud800" in each for each in arguments):
        # The command line has bytes: these are no UTF-8.
        arguments = tuple(each.replace("\ud800", "\udcff") for each in arguments)
    library = worker.having(WORKER_DOMAINS="handlers.library:domain")
    assert (await library("view", *arguments)).mistake() == sentence


async def test_keys_have_the_types_that_their_view_declares(worker: Worker, database: Database) -> None:
    numbers = worker.having(WORKER_DOMAINS="tests.e2e.numbers:domain")
    async with PostgresEventStore.connect(database.url, pool_size=1) as store:
        await store.append([Event(type="Counted", payload={"number": 7, "loud": True})])
    assert (await numbers("view", "times", "7", "true")).document() == 1
    assert (await numbers("view", "times", "7", "false")).document() == 0
    mistake = (await numbers("view", "times", "seven", "true")).mistake()
    assert mistake.startswith("number of the view times cannot be 'seven': ")


async def test_keys_of_no_single_type_are_read_as_json_and_failures_are_told(
    worker: Worker, database: Database
) -> None:
    numbers = worker.having(WORKER_DOMAINS="tests.e2e.numbers:domain")
    async with PostgresEventStore.connect(database.url, pool_size=1) as store:
        await store.append([Event(type="Counted", payload={"number": -7, "loud": True})])
    assert (await numbers("view", "anyhow", "-7")).document() == 1
    never = (await numbers("view", "anyhow", '"-7"')).mistake()
    assert never.endswith("asks Counted for P('number', '-7'), but number holds an integer there.")
    place = f"{broken.__code__.co_filename}:{broken.__code__.co_firstlineno + 1}"
    said = f"the view broken fails at {place}: KeyError: 'no Counted'."
    assert (await numbers("view", "broken", "-7")).mistake() == said
    assert (
        (await numbers("view", "unshown", "-7")).mistake().startswith("the state of the view unshown cannot be shown")
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("lost", r"the view lost fails at \S+numbers\.py:\d+: LookupError: no 7\.$"),
        ("ended", r"the view ended fails at \S+numbers\.py:\d+: SystemExit: 0\.$"),
        ("unbegun", r"the view unbegun fails at \S+numbers\.py:\d+: SystemExit: 0\.$"),
        ("unseen", "the state of the view unseen cannot be shown as JSON: LookupError: not to be seen."),
        ("no-text", "the state of the view no-text cannot be shown as JSON: UnicodeEncodeError: "),
    ],
)
async def test_whatever_a_views_own_code_does_is_told_in_a_sentence(worker: Worker, name: str, sentence: str) -> None:
    numbers = worker.having(WORKER_DOMAINS="tests.e2e.numbers:domain")
    assert re.match(sentence, (await numbers("view", name, "7")).mistake())


async def test_what_json_has_no_number_for_is_not_shown_as_nothing(worker: Worker) -> None:
    numbers = worker.having(WORKER_DOMAINS="tests.e2e.numbers:domain")
    assert (await numbers("view", "beyond", "7")).document() == ["NaN", "Infinity"]


async def test_a_key_of_no_declared_type_that_looks_like_a_number_is_a_text_where_events_hold_texts(
    worker: Worker, database: Database
) -> None:
    numbers = worker.having(WORKER_DOMAINS="tests.e2e.numbers:domain")
    async with PostgresEventStore.connect(database.url, pool_size=1) as store:
        await store.append([Event(type="Labelled", payload={"label": "7"})])
    for key in ("7", '"7"'):
        assert (await numbers("view", "labelled", key)).document() == 1
    assert (await numbers("view", "labelled", "true", "--json")).document()["key"] == ["true"]


async def test_a_check_goes_on_where_a_views_code_ends_the_program(worker: Worker) -> None:
    numbers = worker.having(WORKER_DOMAINS="tests.e2e.numbers:domain")
    found = await numbers("check")
    assert "cannot be asked at a sample key: HandlerCrashed: SystemExit: 0" in found.output
    assert "cannot be asked at a sample key: LookupError: no 1" in found.output


async def test_a_view_that_two_domains_have_needs_its_domain(worker: Worker) -> None:
    both = worker.having(WORKER_DOMAINS="tests.e2e.numbers:domain,tests.e2e.numbers:other")
    assert (await both("view", "times", "7", "true")).mistake() == (
        "times is a view of several domains (numbers, others); choose one with --domain."
    )
    assert (await both("view", "times", "7", "true", "--domain", "others")).document() == 0
