"""Tables of projections: declarations of columns, key and indexes, and builders of row changes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin
from uuid import UUID

from eventstore.jsontext import Unstorable, canonical, decode_object, encode_object
from handlers.errors import InvalidProjection, InvalidRow
from handlers.numeric_range import beyond_numeric
from handlers.row_change import Delete, Insert, Row, Update, Upsert

__all__ = ["Column", "Table"]

# Names need no quotes in SQL.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_LEAST, _MOST = -(2**63), 2**63 - 1
_MOST_COLUMNS = 100
_KINDS: dict[type, str] = {
    str: "text",
    bool: "boolean",
    int: "bigint",
    float: "double precision",
    Decimal: "numeric",
    datetime: "timestamptz",
    date: "date",
    UUID: "uuid",
    bytes: "bytea",
    dict: "jsonb",
    list: "jsonb",
}
_NO_KEYS = frozenset({"jsonb", "double precision"})
# Changes are merged by key: keys must be equal in Python exactly where they are in PostgreSQL. A NaN is equal to itself
# only if it is the same object.
_NAN = Decimal("NaN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        name: The column's name.
        kind: The PostgreSQL type of its values.
        type: The Python type of its values.
        nullable: Whether a value may be NULL.
    """

    name: str
    kind: str
    type: type
    nullable: bool

    def taken(self, table: str, value: Any) -> Any:
        """Return a value in the form that the column holds.

        Raises:
            InvalidRow: The column cannot hold the value.
        """
        given: Any = value
        if type(value) is self.type:
            if self.type is str:
                return self._text(table, given)
            if self.type is int and not _LEAST <= given <= _MOST:
                raise InvalidRow(f"{table}.{self.name} holds integers of 64 bits, not {value}")
            if self.type is datetime:
                return self._instant(table, given)
            if self.type is Decimal:
                return self._decimal(table, given)
            return self._json(table, value) if self.kind == "jsonb" else value
        if value is None:
            if self.nullable:
                return None
            raise InvalidRow(
                f"{table}.{self.name} may not be None; declare it as {self.type.__name__} | None if it may"
            )
        return self._converted(table, value)

    def _converted(self, table: str, value: Any) -> Any:
        if self.type in {str, int} and isinstance(value, self.type) and not isinstance(value, bool):
            plain = self.type.__str__(value) if self.type is str else int(value)  # of an enumeration, the value
            return self.taken(table, plain)
        if self.type in {Decimal, float} and type(value) is int:
            try:
                return self.taken(table, self.type(value))
            except OverflowError:
                raise InvalidRow(f"{table}.{self.name} holds no {self.type.__name__} as large as the integer") from None
        if self.kind == "jsonb" and isinstance(value, Mapping | tuple | list):
            return self._json(table, dict(value) if isinstance(value, Mapping) else list(value))
        raise InvalidRow(f"{table}.{self.name} holds {self.type.__name__}, not {value!r} ({type(value).__name__})")

    def _text(self, table: str, given: str) -> str:
        if "\x00" in given:
            raise InvalidRow(f"{table}.{self.name} cannot hold a NUL character")
        try:
            given.encode()
        except UnicodeEncodeError:
            raise InvalidRow(f"{table}.{self.name} cannot hold a lone surrogate, which is no character") from None
        return given

    def _decimal(self, table: str, given: Decimal) -> Decimal:
        if given.is_nan():
            return _NAN
        if (complaint := beyond_numeric(given)) is not None:
            raise InvalidRow(f"{table}.{self.name} {complaint}")
        return given

    def _instant(self, table: str, given: datetime) -> datetime:
        """Return a time in UTC: Python takes the two instants of an hour that the clock repeats for equal."""
        if given.tzinfo is UTC:
            return given
        if given.utcoffset() is None:
            raise InvalidRow(f"{table}.{self.name} needs times with a zone, not {given}")
        try:
            return given.astimezone(UTC)
        except OverflowError:
            raise InvalidRow(f"{table}.{self.name} holds times of the calendar in UTC, not {given}") from None

    def _json(self, table: str, value: Any) -> str:
        try:
            text = encode_object({"": value})
        except Unstorable as error:
            raise InvalidRow(f"{table}.{self.name} {error}") from None
        # Read back, keys are texts: of other ones, such as integers, there is no order.
        return canonical(decode_object(text)[""]).decode()


@dataclass(frozen=True, slots=True)
class Table:
    """A table that a projection fills, and a builder of changes of its rows.

    ::

        lent = Table("books_lent_out", columns={"book_id": str, "reader_id": str, "since": datetime}, key=("book_id",))
        lent.upsert(book_id="b1", reader_id="ada", since=fact.occurred_at)

    Attributes:
        name: The table's name: up to 48 small letters, digits and ``_``, beginning with a letter.
        columns: The type of each column's values, by its name: str, bool, int (of 64 bits), float, Decimal, datetime
            (with a zone), date, UUID, bytes, or dict or list for JSON; ``str | None`` if a value may be NULL.
        key: The columns of the primary key. Empty, the default: rows can only be inserted.
        indexes: The columns of each index, as tuples; by default none.

    Raises:
        InvalidProjection: An attribute is invalid; the message says which.
    """

    name: str
    columns: Mapping[str, Any]
    key: tuple[str, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    layout: tuple[Column, ...] = field(init=False, repr=False, compare=False)
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_name("a table", self.name)
        if not isinstance(self.columns, Mapping) or not 1 <= len(self.columns) <= _MOST_COLUMNS:
            raise InvalidProjection(
                f"the table {self.name} takes its columns as a mapping from name to type, 1 to {_MOST_COLUMNS} of them"
            )
        layout = tuple(self._column(name, given) for name, given in self.columns.items())
        object.__setattr__(self, "columns", dict(self.columns))
        object.__setattr__(self, "layout", layout)
        object.__setattr__(self, "_by_name", {column.name: column for column in layout})
        object.__setattr__(self, "key", self._names("key", self.key))
        if isinstance(self.indexes, str) or not isinstance(self.indexes, Iterable):
            raise InvalidProjection(f"the table {self.name} takes its indexes as a tuple of tuples of columns")
        object.__setattr__(self, "indexes", tuple(self._names("indexes", index) for index in self.indexes))
        if () in self.indexes or len(set(self.indexes)) < len(self.indexes):
            raise InvalidProjection(f"the table {self.name} has an index of no columns, or one twice")
        for name in self.key:
            column = self._by_name[name]
            if column.nullable or column.kind in _NO_KEYS:
                raise InvalidProjection(
                    f"the key of the table {self.name} has the column {name}, which may be missing or is no exact value"
                )

    def __hash__(self) -> int:
        return hash(self.name)

    def insert(self, **row: Any) -> Insert:
        """Add a row whose key must not exist.

        Args:
            row: The value of each column; nullable columns may be left out.

        Raises:
            InvalidRow: A column does not exist, is left out although it is not nullable, or cannot hold its value.
        """
        return Insert(table=self, row=self._row(row))

    def upsert(self, **row: Any) -> Upsert:
        """Replace the row with its key, or add it. Arguments and errors are those of ``insert``."""
        self._needs_key("upsert")
        return Upsert(table=self, row=self._row(row))

    def update(self, **values: Any) -> Update:
        """Change columns of the row with a key; without such a row, nothing happens.

        Args:
            values: The values of the key's columns, and of the columns to change.

        Raises:
            InvalidRow: A column does not exist or cannot hold its value, a column of the key is missing, or there is
                nothing to change.
        """
        self._needs_key("update")
        self._check_names(values)
        key, changed = self._key(values), {}
        for name, value in values.items():
            if name not in self.key:
                changed[name] = self._by_name[name].taken(self.name, value)
        if not changed:
            raise InvalidRow(f"an update of {self.name} changes nothing: name columns beside {', '.join(self.key)}")
        return Update(table=self, key=key, values=changed)

    def delete(self, **key: Any) -> Delete:
        """Delete the row with a key; without such a row, nothing happens.

        Raises:
            InvalidRow: The arguments are not exactly the columns of the key.
        """
        self._needs_key("delete")
        self._check_names(key)
        made = self._key(key)
        for name in key:
            if name not in self.key:
                raise InvalidRow(f"rows of {self.name} are deleted by {', '.join(self.key)}, not by {name}")
        return Delete(table=self, key=made)

    def key_of(self, row: Row) -> tuple[Any, ...]:
        """Return the key of a row."""
        return tuple([row[name] for name in self.key])

    @property
    def description(self) -> list[Any]:
        """The table's layout as plain values: equal for tables with equal declarations."""
        columns = [[column.name, column.kind, column.nullable] for column in self.layout]
        return [self.name, columns, list(self.key), [list(index) for index in self.indexes]]

    def _row(self, given: Mapping[str, Any]) -> Row:
        self._check_names(given)
        row = {}
        for column in self.layout:
            name = column.name
            if name in given:
                row[name] = column.taken(self.name, given[name])
            elif column.nullable:
                row[name] = None
            else:
                raise InvalidRow(f"a row of {self.name} lacks {name}")
        return row

    def _key(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        try:
            return tuple([self._by_name[name].taken(self.name, given[name]) for name in self.key])
        except KeyError as missing:
            raise InvalidRow(
                f"a row of {self.name} is identified by {', '.join(self.key)}; {missing} is not given"
            ) from None

    def _check_names(self, given: Mapping[str, Any]) -> None:
        # Before anything else: the column that a misspelt one stands for would be said to be missing.
        for name in given.keys() - self._by_name.keys():
            raise InvalidRow(f"{self.name} has no column {name}; it has {', '.join(self._by_name)}")

    def _needs_key(self, what: str) -> None:
        if not self.key:
            raise InvalidRow(f"{self.name} has no key: its rows can be inserted, and there is no {what}")

    def _names(self, what: str, given: object) -> tuple[str, ...]:
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise InvalidProjection(
                f"the table {self.name} takes a tuple of columns in its {what}, not {given!r}; is a comma missing?"
            )
        for name in given:
            if name not in self._by_name:
                raise InvalidProjection(f"the table {self.name} names {name!r} in its {what}, which is no column of it")
        if len(set(given)) < len(given):
            raise InvalidProjection(f"the table {self.name} names a column twice in its {what}")
        return tuple(given)

    def _column(self, name: str, given: object) -> Column:
        _check_name(f"a column of the table {self.name}", name)
        found: Any = given
        nullable = False
        if get_origin(given) in {Union, UnionType}:
            options = get_args(given)
            nullable = NoneType in options
            found, *others = (each for each in options if each is not NoneType)
            if others:
                found = given
        found = get_origin(found) or found
        kind = _KINDS.get(found) if isinstance(found, type) else None
        if kind is None:
            known = ", ".join(each.__name__ for each in _KINDS)
            raise InvalidProjection(
                f"the column {name} of the table {self.name} has the type {given!r}; a column holds {known}, "
                "each perhaps with | None"
            )
        return Column(name=name, kind=kind, type=found, nullable=nullable)


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidProjection(
            f"{what} is named by up to 48 small letters, digits and _, beginning with a letter; {name!r} is not"
        )
