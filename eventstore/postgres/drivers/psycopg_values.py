"""psycopg's values and rows, converted to the form that asyncpg uses.

Values are sent as text without a type, so that the server uses the type that the statement names: the library would
choose one by the size of a number, and prepare a statement again for each.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, ClassVar, cast
from uuid import UUID

import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.bool import BoolBinaryLoader
from psycopg.types.numeric import Int4BinaryLoader, Int8BinaryLoader
from psycopg.types.string import ByteaBinaryLoader, TextBinaryLoader
from psycopg.types.uuid import UUIDBinaryLoader

__all__ = ["LOADERS", "RowMaker", "in_text"]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
# The wire values of PostgreSQL's infinities, and the times that stand for them.
_FIRST, _LAST = -(2**63), 2**63 - 1
_BEFORE_ALL, _AFTER_ALL = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def in_text(value: Any) -> str | None:
    """Convert a value to PostgreSQL's text format."""
    if value is None or type(value) is str:
        return value
    return _writer(cast("Hashable", type(value)))(value)


@cache
def _writer(kind: Hashable) -> Callable[[Any], str]:
    """Return the function that converts values of a type."""
    for known, write in _WRITERS:
        if isinstance(kind, type) and issubclass(kind, known):
            return write
    raise TypeError(f"no value of {kind} is sent to a server")


def _array(values: Iterable[Any]) -> str:
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return in_text(value) or ""
        case _:
            escaped = (in_text(value) or "").replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'


_WRITERS: Sequence[tuple[type, Callable[[Any], str]]] = (
    (str, str.__str__),
    (bool, lambda value: "t" if value else "f"),
    (int, int.__repr__),
    (bytes, lambda value: f"\\x{value.hex()}"),
    (UUID, str),
    (datetime, datetime.isoformat),
    (list, _array),
    (tuple, _array),
)


class _Moment(Loader):
    """Loads a time with a zone, in UTC whatever the session's zone is."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> datetime:
        """Convert the binary form."""
        micros = int.from_bytes(bytes(data), "big", signed=True)
        if micros in {_FIRST, _LAST}:
            return _BEFORE_ALL if micros < 0 else _AFTER_ALL
        return _EPOCH + timedelta(microseconds=micros)


class _Jsonb(Loader):
    """Loads jsonb as text: the caller decides how to parse numbers."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> str:
        """Convert the binary form."""
        return bytes(data)[1:].decode()


class _Json(Loader):
    """Loads json as text; unlike jsonb it has no version byte."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> str:
        """Convert the binary form."""
        return bytes(data).decode()


LOADERS: dict[str, type[Loader]] = {
    "timestamptz": _Moment,
    "jsonb": _Jsonb,
    "json": _Json,
    # As the library has them: a program may have others in its sessions.
    "uuid": UUIDBinaryLoader,
    "int8": Int8BinaryLoader,
    "int4": Int4BinaryLoader,
    "text": TextBinaryLoader,
    "bytea": ByteaBinaryLoader,
    "bool": BoolBinaryLoader,
}
"""The loaders of these types, by type name."""


class _Row(tuple[Any, ...]):
    """A ``Row``."""

    __slots__ = ()
    places: ClassVar[dict[str, int]]

    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, self.places[key] if key.__class__ is str else key)

    def keys(self) -> Iterable[str]:
        """See ``Row.keys``."""
        return self.places.keys()


class RowMaker:
    """Makes the rows of a cursor.

    Attributes:
        query: The statement whose rows the cursor returns next; None if its rows are not used.
    """

    def __init__(self) -> None:
        self.query: str | None = None
        self._kinds: dict[str, type[_Row]] = {}

    def __call__(self, cursor: "psycopg.AsyncCursor[Any]") -> Callable[[Sequence[Any]], _Row]:
        """Return the function that makes a row from its values."""
        query = self.query
        kind = None if query is None else self._kinds.get(query)
        if kind is None:
            kind = _kind(tuple(column.name for column in cursor.description or ()))
            if query is not None:
                self._kinds[query] = kind
        return kind


@lru_cache(256)
def _kind(names: tuple[str, ...]) -> type[_Row]:
    return type("Row", (_Row,), {"__slots__": (), "places": {name: place for place, name in enumerate(names)}})
