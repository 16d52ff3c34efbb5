"""The source of an adoption: a table of events in another store's layout, on any server."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from eventstore.errors import EventStoreError, InvalidRequest
from eventstore.jsontext import decode_object
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.connections.translation import DRIVER_ERRORS, translate
from eventstore.postgres.drivers.asyncpg import AsyncpgConnection
from eventstore.postgres.statements import statement

__all__ = ["AdoptionSource", "SourceSum"]

_PURPOSE = "worker db adopt"
_COLUMNS = {
    "sequence_number": {"bigint", "integer"},
    "occurred_at": {"timestamp with time zone", "timestamp without time zone"},
    "event_type": {"text", "character varying"},
    "payload": {"jsonb", "json"},
    "metadata": {"jsonb", "json"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSum:
    """The sum of the events of a table.

    Attributes:
        events: The number of events up to a given number.
        sum: The checksum of these events.
        newer: The number of events above the given number.
    """

    events: int
    sum: str
    newer: int


class AdoptionSource:
    """A table with the columns sequence_number, occurred_at, event_type, payload and metadata.

    All reads see one snapshot. Nothing in it is changed, and writers of the table are not blocked.

    Args:
        connection: A connection to the table's server, within a transaction.
        name: The table's name, quoted where needed.
    """

    def __init__(self, connection: AsyncpgConnection, name: str) -> None:
        self._connection = connection
        self._name = name

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, table: str) -> AsyncIterator["AdoptionSource"]:
        """Connect to a server, and check the table.

        Raises:
            InvalidRequest: The server cannot be reached or queried, the table does not exist, or it is no table of
                events. The message says that the source is concerned.
        """
        async with AsyncExitStack() as stack:
            with _told():
                connection = await stack.enter_async_context(administrator(url, purpose=_PURPOSE))
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                await connection.execute("SET LOCAL TIME ZONE 'UTC'")
                (found,) = await connection.fetch(statement("source_columns"), table)
            yield cls(connection, _checked_name(table, found["name"], decode_object(found["columns"])))

    async def added_up(self, last: int) -> SourceSum:
        """Compute the sum of the events up to a number.

        Raises:
            InvalidRequest: The source cannot be read, as in ``open``.
        """
        with _told():
            (row,) = await self._connection.fetch(self._sql("source_sum"), last)
        return SourceSum(events=row["events"], sum=row["sum"], newer=row["newer"])

    async def copy(self, above: int, take: Callable[[Sequence[dict[str, Any]]], Awaitable[None]]) -> None:
        """Stream the events above a number to ``take``, in order and in batches, each as a record of an event file.

        Raises:
            InvalidRequest: The source cannot be read, as in ``open``. Errors of ``take`` are raised unchanged.
        """
        rest = b""
        refusals: list[BaseException] = []

        async def sink(data: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + data).split(b"\n")
            try:
                await take([_record(line) for line in lines])
            except BaseException as error:
                refusals.append(error)
                raise

        query = self._sql("source_events").replace("above_number", str(int(above)))
        try:
            with _told():
                await self._connection.copy_from_query(query, output=sink)
        except BaseException:
            if refusals:
                raise refusals[0] from None
            raise

    def _sql(self, name: str) -> str:
        return statement(name).replace("source_table", self._name)


@contextmanager
def _told() -> Iterator[None]:
    """Raise errors as ones that concern the source."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise InvalidRequest(f"the source cannot be read: {translate(error)}") from error
    except EventStoreError as error:
        raise InvalidRequest(f"the source cannot be read: {error}", code=error.code) from error


def _checked_name(table: str, name: str | None, columns: dict[str, str]) -> str:
    if name is None:
        raise InvalidRequest(f"the source has no table {table}: name it with --table, with its schema if it needs one")
    missing = sorted(set(_COLUMNS) - set(columns))
    if missing:
        raise InvalidRequest(f"the table {table} is not a table of events: it has no column {', '.join(missing)}")
    for column, types in _COLUMNS.items():
        if columns[column] not in types:
            raise InvalidRequest(
                f"the table {table} is not a table of events: its column {column} is {columns[column]}, not "
                f"{' or '.join(sorted(types))}"
            )
    return name


def _record(line: bytes) -> dict[str, Any]:
    # In the text of a jsonb, COPY escapes nothing but backslashes.
    return decode_object(line.replace(b"\\\\", b"\\"))
