"""A peer: the package ``eventsourcing`` with its recorder ``dcb.postgres_tt``, on its own PostgreSQL server."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.dcb.postgres_tt import PostgresDCBRecorderTT
from eventsourcing.persistence import IntegrityError
from eventsourcing.postgres import PostgresDatastore

from tests.bench.library import LENT, TYPES, loans
from tests.bench.subject import COMPARED, Address, Conflict, Contender, InThreads, Loan
from tests.bench.subjects.postgres import administration, copy, serve

__all__ = ["Eventsourcing", "contender", "fill"]

# Its appends lock the table: more connections only wait.
_CONNECTIONS = 16
_WAIT_SECONDS = 120


class Eventsourcing(InThreads):
    """The recorder, called from one thread per caller."""

    def __init__(self, address: Address) -> None:
        super().__init__()
        parts = urlsplit(address.admin_url)
        self.recorder = PostgresDCBRecorderTT(
            PostgresDatastore(
                dbname=parts.path.lstrip("/"),
                host=str(parts.hostname),
                port=str(parts.port),
                user=str(parts.username),
                password=str(parts.password),
                pool_size=_CONNECTIONS,
                connect_timeout=_WAIT_SECONDS,
                lock_timeout=_WAIT_SECONDS,
            )
        )

    @classmethod
    async def open(cls, address: Address) -> "Eventsourcing":
        """Open the recorder and its connections."""
        subject = cls(address)
        subject.recorder.datastore.register_type_adapters()
        return subject

    async def ping(self) -> None:
        """See ``Subject.ping``."""
        with self.recorder.datastore.cursor() as cursor:
            cursor.execute("SELECT 1", prepare=True)
            cursor.fetchone()

    async def query(self, boundary: Loan) -> Any:
        """See ``Subject.query``."""
        response = self.recorder.read(_query(boundary))
        for found in response:
            json.loads(found.event.data)
        return response.head

    async def append(self, loans: Sequence[Loan], boundary: Loan, after: Any) -> Any:
        """See ``Subject.append``."""
        events = [DCBEvent(type=LENT, data=_data(loan), tags=_tags(loan)) for loan in loans]
        try:
            return self.recorder.append(events, DCBAppendCondition(_query(boundary), after))
        except IntegrityError as error:
            raise Conflict from error

    async def scan(self) -> int:
        """See ``Subject.scan``."""
        return sum(1 for _ in self.recorder.read())

    async def close(self) -> None:
        """See ``Subject.close``."""
        self.recorder.datastore.close()


async def _load(address: Address, size: int) -> None:
    subject = Eventsourcing(address)
    with subject.recorder.datastore:
        subject.recorder.create_table()
    await fill(address, subject.recorder.events_table_name, subject.recorder.tags_table_name, _rows(size))


async def fill(address: Address, events: str, tags: str, rows: Iterator[str]) -> None:
    """Fill a recorder's tables, which exist and are empty.

    Args:
        address: Their server.
        events: The table of events.
        tags: The table of their tags.
        rows: A line for each event, in COPY's format: type, data and tags.
    """
    async with administration(address) as connection:
        await connection.execute("SET session_replication_role = replica")  # every tag's event exists
        await copy(connection, "public", events, "type data tags", rows)
        await connection.execute(
            f"INSERT INTO {tags} (tag, main_id) SELECT tag, id FROM {events}, unnest(tags) AS tag ORDER BY tag, id"  # noqa: S608  the names are the recorder's own
        )
        await connection.execute(f"VACUUM ANALYZE {events}, {tags}")
        await connection.execute("CHECKPOINT")


def _rows(size: int) -> Iterator[str]:
    for event_type, loan in loans(size):
        book, reader = _tags(loan)
        yield f"{event_type}\t\\\\x{_data(loan).hex()}\t{{{book},{reader}}}"


def _query(boundary: Loan) -> DCBQuery:
    return DCBQuery(items=[DCBQueryItem(types=list(TYPES), tags=[tag]) for tag in _tags(boundary)])


def _tags(loan: Loan) -> list[str]:
    return [f"BookID:{loan.book}", f"ReaderID:{loan.reader}"]


def _data(loan: Loan) -> bytes:
    return json.dumps({"BookID": loan.book, "ReaderID": loan.reader}).encode()


contender = Contender(
    serve=serve,
    load=_load,
    open=Eventsourcing.open,
    affordable=1_000_000,
    figures=COMPARED | {"select_1", "read_1000000_memory"},
)
