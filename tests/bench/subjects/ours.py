"""Ours: the event store on PostgreSQL, as a worker opens it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain

import asyncpg

from eventstore import ConcurrencyConflict, Event, EventStream, Filter, P, Position
from eventstore.postgres import PostgresEventStore, migrate
from eventstore.postgres.drivers.choice import DriverName
from handlers.library import domain
from tests.bench.library import HISTORIES, LENT, LONGEST_HISTORY, TYPES, loans
from tests.bench.subject import COMPARED, Address, Conflict, Contender, InLoop, Loan
from tests.bench.subjects.postgres import Connection, administration, copy, rebuilt_indexes, serve
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings

__all__ = ["METADATA", "Ours", "boundary_of", "contender", "event_of", "load"]

METADATA = {"command_type": "LendBookCopyToReader"}
_METADATA_TEXT = '{"command_type":"LendBookCopyToReader"}'
_TOKEN = 1


def boundary_of(loan: Loan) -> Filter:
    """Return the boundary of a lending."""
    return (
        Filter.matching()
        .any_event_type_of(*TYPES)
        .and_any_predicate_of(P("BookID", loan.book), P("ReaderID", loan.reader))
    )


def event_of(loan: Loan) -> Event:
    """Return a loan as an event."""
    return Event(type=LENT, payload={"BookID": loan.book, "ReaderID": loan.reader}, metadata=METADATA)


class Ours(InLoop):
    """The store, also with the scheduler and with plain inserts.

    Attributes:
        store: The store.
        address: Its server.
    """

    def __init__(self, store: PostgresEventStore, address: Address, raw: Connection, closing: AsyncExitStack) -> None:
        self.store = store
        self.address = address
        self._raw = raw
        self._closing = closing

    @classmethod
    async def open(cls, address: Address, *, driver: DriverName = "asyncpg") -> "Ours":
        """Open the store as a worker does."""
        closing = AsyncExitStack()
        store = await closing.enter_async_context(PostgresEventStore.connect(address.url, driver=driver))
        raw = await asyncpg.connect(address.url)
        closing.push_async_callback(raw.close)
        return cls(store, address, raw, closing)

    @cached_property
    def scheduler(self) -> Scheduler:
        """The library's scheduler, with its cache of states."""
        return Scheduler(self.store, domain, Settings())

    async def ping(self) -> None:
        """See ``Subject.ping``."""
        await self._raw.fetchval("SELECT 1")

    async def query(self, boundary: Loan) -> Position:
        """See ``Subject.query``."""
        stream = await self.store.query(boundary_of(boundary))
        _look_at(stream)
        return stream.position

    async def append(self, loans: Sequence[Loan], boundary: Loan, after: Position) -> Position:
        """See ``Subject.append``."""
        try:
            receipt = await self.store.append(
                [event_of(loan) for loan in loans], boundary=boundary_of(boundary), after=after
            )
        except ConcurrencyConflict as error:
            if error.unseen is None:
                raise Conflict from error
            _look_at(error.unseen)
            raise Conflict(error.unseen.position) from error
        return receipt.position

    async def scan(self) -> int:
        """See ``Subject.scan``."""
        count = 0
        async for _ in self.store.read(Filter.matching_any_event()):
            count += 1
        return count

    async def close(self) -> None:
        """See ``Subject.close``."""
        await self._closing.aclose()


def _look_at(stream: EventStream) -> None:
    """Read every payload, as a decision does."""
    for event in stream.events:
        _ = event.payload


async def load(address: Address, size: int, *, histories: bool = True) -> None:
    """Migrate, and fill the log: first the books with long histories, if requested, then ``size`` events."""
    await migrate(address.admin_url)
    async with administration(address) as connection, rebuilt_indexes(connection, "eventstore.events"):
        columns = "sequence_number token event_type occurred_at payload metadata"
        await copy(
            connection,
            "eventstore",
            "events",
            columns,
            _rows(chain(_histories() if histories else (), loans(size))),
        )


def _rows(events: Iterable[tuple[str, Loan]]) -> Iterator[str]:
    moment = datetime.now(UTC).isoformat()
    for number, (event_type, loan) in enumerate(events, start=1):
        yield (
            f'{number}\t{_TOKEN}\t{event_type}\t{moment}\t{{"BookID":"{loan.book}","ReaderID":"{loan.reader}"}}'
            f"\t{_METADATA_TEXT}"
        )


def _histories() -> Iterator[tuple[str, Loan]]:
    for length, book in HISTORIES.items():
        for place in range(min(length, LONGEST_HISTORY)):
            yield TYPES[place % 2], Loan(book, f"h{place // 2}")


contender = Contender(
    serve=serve,
    load=load,
    open=Ours.open,
    figures=COMPARED
    | {
        "select_1",
        "commit_1",
        "typical_128.cpu",
        "typical_history_10",
        "typical_history_100000",
        "append_bare_peak",
        "read_1000000_memory",
    },
)
