"""A peer: the projection runner of ``eventsourcing``, with a row for each event, over its own log."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from eventsourcing.dcb.application import DCBApplication
from eventsourcing.dcb.domain import Tagged
from eventsourcing.dcb.msgpack import Decision, MessagePackMapper
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.utils import get_topic
from psycopg.sql import SQL, Composed, Identifier

from tests.bench.subject import Address
from tests.bench.subjects.eventsourcing import fill

__all__ = ["events_a_second", "load"]

_FEWEST_SECONDS = 5.0


class Lent(Decision):  # type: ignore[misc]  # mypy does not read the library's types
    """A lending, as an event of the library."""

    book_id: str
    reader_id: str
    at: datetime


class Log(DCBApplication):  # type: ignore[misc]  # mypy does not read the library's types
    """The log, in the table that its recorder makes."""

    name = "log"


class Lendings(PostgresTrackingRecorder):  # type: ignore[misc]  # mypy does not read the library's types
    """The tables: the rows, and the position up to which they are written."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sql_create_statements.append(
            SQL("CREATE TABLE IF NOT EXISTS {}.{} (number bigint PRIMARY KEY, book_id text, at timestamptz)").format(
                Identifier(self.datastore.schema), Identifier("lendings")
            )
        )
        self._insert: Composed = SQL("INSERT INTO {}.{} VALUES (%s, %s, %s)").format(
            Identifier(self.datastore.schema), Identifier("lendings")
        )

    def add(self, decision: Lent, tracking: Tracking) -> None:
        """Write a row and the position, in one transaction."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(self._insert, (tracking.notification_id, decision.book_id, decision.at), prepare=True)


class LendingsProjection(Projection[Lendings]):  # type: ignore[misc]  # mypy does not read the library's types
    """A row for each lending."""

    name = "lendings"
    topics = (get_topic(Lent),)

    def process_event(self, domain_event: Tagged[Any], tracking: Tracking) -> None:
        """Write the row of one event."""
        self.view.add(domain_event.decision, tracking)


async def load(address: Address, size: int) -> None:
    """Fill its log with ``size`` lendings."""
    with Log(_environment(address)) as log:
        events, tags = log.recorder.events_table_name, log.recorder.tags_table_name
    await fill(address, events, tags, _rows(size))


def events_a_second(address: Address, *, seconds: float = _FEWEST_SECONDS) -> tuple[float, float]:
    """Project for ``seconds``; return the events a second, and the CPU time per event in µs."""
    environment = _environment(address)
    with ProjectionRunner(
        application_class=Log, projection_class=LendingsProjection, view_class=Lendings, env=environment
    ) as runner:
        begun, cpu_begun = time.perf_counter(), time.process_time()
        first = runner.view.max_tracking_id(Log.name) or 0
        runner.run_forever(timeout=seconds)
        took = (runner.view.max_tracking_id(Log.name) or 0) - first
        return took / (time.perf_counter() - begun), (time.process_time() - cpu_begun) / took * 1e6


def _rows(size: int) -> Iterator[str]:
    mapper, now = MessagePackMapper(), datetime.now(UTC)
    for number in range(1, size + 1):
        lent = Lent(book_id=f"book-{number}", reader_id=f"reader-{number % 1000}", at=now)
        event = mapper.to_dcb_event(Tagged(tags=[f"book-{number}", f"reader-{number % 1000}"], decision=lent))
        yield f"{event.type}\t\\\\x{event.data.hex()}\t{{{','.join(event.tags)}}}"


def _environment(address: Address) -> dict[str, str]:
    parts = urlsplit(address.admin_url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.dcb.postgres_tt",
        "LENDINGS_PERSISTENCE_MODULE": "eventsourcing.postgres",  # settings of the projection of this name
        "MAPPER_TOPIC": get_topic(MessagePackMapper),
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": str(parts.hostname),
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": str(parts.username),
        "POSTGRES_PASSWORD": str(parts.password),
    }
