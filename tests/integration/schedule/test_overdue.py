"""Loans of the library become overdue: a command that is sent when their time is up, and says which time that is."""

from datetime import UTC, datetime, timedelta

from eventstore import Filter
from eventstore.postgres import PostgresEventStore
from handlers import Command
from handlers.library import domain
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.mark_loan_overdue import MarkLoanOverdue
from handlers.library.register_reader import RegisterReader
from handlers.library.return_book_copy import ReturnBookCopyFromReader
from tests.integration.reading.bell_tower import sending
from tests.integration.schedule.scheduling import scheduling
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import serving_domain
from worker.amqp.declaration import declare
from worker.publisher import Publisher
from worker.topology import Topology

OVERDUE = Filter.matching().any_event_type_of("LoanBecameOverdue")
COPY = {"ISBN": "1", "Title": "T", "Authors": "A", "Edition": "1", "Publisher": "P", "PublicationYear": 2000}


async def test_a_loan_that_is_not_back_in_time_is_overdue(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient
) -> None:
    due = datetime.now(UTC) + timedelta(seconds=2)

    async def accepted(command: Command) -> None:
        reply = await publisher.request("library", type(command).__name__, command)
        assert reply.outcome == "accepted", reply

    async def schedule(book: str) -> str:
        command = MarkLoanOverdue(book_id=book, reader_id="ada", at=due)
        sent = await publisher.schedule("library", "MarkLoanOverdue", command, due, reply_to=client.replies)
        return str(sent)

    await declare(client.channel, Topology.of(domain, has_schedule=True))
    async with PostgresEventStore.connect(database.url) as store, serving_domain(domain, store, vhost):
        await accepted(RegisterReader(reader_id="ada", name="Ada"))
        for book in ("kept", "back"):
            await publisher.request("library", "AddBookCopyToCirculation", {"BookID": book, **COPY})
            await accepted(LendBookCopyToReader(book_id=book, reader_id="ada", due_at=due))
        kept, back = await schedule("kept"), await schedule("back")
        await accepted(ReturnBookCopyFromReader(book_id="back", reader_id="ada"))
        # Nothing is sent before the copy is back, however long all this took.
        async with scheduling(database.url, vhost, domains="handlers.library:domain"):
            answers = await client.answers(2)
        assert datetime.now(UTC) >= due
        assert {answers[kept]["outcome"], answers[back]["outcome"]} == {"accepted", "unchanged"}
        assert answers[kept]["outcome"] == "accepted"
        (event,) = (await store.query(OVERDUE)).events
        assert (event.payload["BookID"], event.payload["ReaderID"]) == ("kept", "ada")
        assert datetime.fromisoformat(event.payload["DueAt"]) == due


async def test_a_reaction_has_a_loan_marked_when_it_is_due(
    database: Database, vhost: str, publisher: Publisher
) -> None:
    due = datetime.now(UTC) + timedelta(seconds=1)
    async with (
        PostgresEventStore.connect(database.url) as store,
        serving_domain(domain, store, vhost),
        scheduling(database.url, vhost, domains="handlers.library:domain"),
        sending(database.url, vhost, domain),
    ):
        await publisher.request("library", "RegisterReader", RegisterReader(reader_id="ada", name="Ada"))
        await publisher.request("library", "AddBookCopyToCirculation", {"BookID": "kept", **COPY})
        lend = LendBookCopyToReader(book_id="kept", reader_id="ada", due_at=due)
        assert (await publisher.request("library", "LendBookCopyToReader", lend)).outcome == "accepted"

        async def is_marked() -> bool:
            return bool((await store.query(OVERDUE)).events)

        await eventually(is_marked, what="the loan to be marked")
        (event,) = (await store.query(OVERDUE)).events
    assert event.occurred_at >= due
    assert datetime.fromisoformat(event.payload["DueAt"]) == due
