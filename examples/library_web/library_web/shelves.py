from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import asyncpg

from eventstore import HistoryDiverged, Position, PositionNotReached
from handlers import Answer, Part, Reader
from handlers.library import domain
from handlers.library.books import Book, books_in_circulation
from handlers.library.lend_book_copy import MOST_BOOKS
from handlers.library.projections import lent_out
from handlers.library.reader import reader as reader_view
from handlers.library.readers import registered_readers
from worker import ReadModels
from worker.errors import PositionNotProjected

S = TypeVar("S")

MOST_COPIES = 100
LENT_OUT = f"{domain.name}.{lent_out.name}"
LOANS = "SELECT book_id, reader_id, lent_at FROM read_library.books_lent_out WHERE book_id = ANY($1)"
# What a connection says that broke, cannot be made, is silent, or finds no table.
TROUBLES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class ReadModelsAway(Exception):
    """Raised when the tables cannot be read now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    book_id: str
    book: Book
    reader_id: str | None = None
    reader_name: str | None = None
    lent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenReader:
    reader_id: str
    name: str | None
    registered: bool
    books: int

    @property
    def free(self) -> int:
        return MOST_BOOKS - self.books


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelves:
    copies: Sequence[Copy]
    found: int
    titles: Mapping[str, Book]
    readers: Sequence[tuple[str, str]]
    reader: ChosenReader | None
    # What is shown holds everything up to here.
    position: Position
    # Whether it holds what was asked for.
    is_current: bool


class ShelfReader:
    """Reads what is shown: titles and readers from views, who has which copy from a projection's table."""

    def __init__(
        self, reader: Reader, models: ReadModels, pool: "asyncpg.Pool[asyncpg.Record]", *, seconds: float
    ) -> None:
        self._reader = reader
        self._models = models
        self._pool = pool
        self._seconds = seconds

    async def shelves(self, *, search: str, reader_id: str, seen: Position | None) -> Shelves:
        """Read the shelves, at least as far as a position."""
        at, projected = await self._projected(seen)
        books, viewed = await self._answer(books_in_circulation.at(), seen)
        # A position that one view waited for in vain is in no history: the others do not wait for it.
        asked = seen if viewed else None
        readers, _ = await self._answer(registered_readers.at(), asked)
        matching = sorted(
            ((book_id, book) for book_id, book in books.state.items() if _matches(book, search)),
            key=lambda found: (found[1].title.casefold(), found[0]),
        )
        shown = matching[:MOST_COPIES]
        loans = await self._loans([book_id for book_id, _ in shown])
        return Shelves(
            copies=[_copy(book_id, book, loans.get(book_id), readers.state) for book_id, book in shown],
            found=len(matching),
            titles=books.state,
            readers=sorted(readers.state.items(), key=lambda found: found[1].casefold()),
            reader=await self._chosen(reader_id, readers.state, asked) if reader_id else None,
            position=min(at, books.position, key=lambda position: position.number),
            is_current=projected and viewed,
        )

    async def _projected(self, seen: Position | None) -> tuple[Position, bool]:
        """Wait until the table holds what is to be seen; return how far it is, and whether that is far enough."""
        if seen is not None:
            with suppress(PositionNotProjected):
                return await self._models.wait_for(LENT_OUT, seen, seconds=self._seconds), True
        return await self._models.position(LENT_OUT), seen is None

    async def _answer(self, part: Part[S], seen: Position | None) -> tuple[Answer[S], bool]:
        """Ask a view, at least as far as what is to be seen, if a server is there; and say whether one was."""
        # A position that came with a request may be anybody's, and in no history.
        with suppress(PositionNotReached, HistoryDiverged):
            return await self._reader.answer(part, min_position=seen), True
        return await self._reader.answer(part), False

    async def _loans(self, book_ids: Sequence[str]) -> dict[str, "asyncpg.Record"]:
        try:
            return {row["book_id"]: row for row in await self._pool.fetch(LOANS, book_ids)}
        except TROUBLES as error:
            raise ReadModelsAway(str(error) or type(error).__name__) from error

    async def _chosen(self, reader_id: str, names: Mapping[str, str], seen: Position | None) -> ChosenReader:
        answer, _ = await self._answer(reader_view.at(reader_id), seen)
        return ChosenReader(
            reader_id=reader_id,
            name=names.get(reader_id),
            registered=answer.state.registered,
            books=len(answer.state.books),
        )


def _matches(book: Book, search: str) -> bool:
    return search.casefold() in f"{book.title} {book.authors}".casefold()


def _copy(book_id: str, book: Book, loan: "asyncpg.Record | None", names: Mapping[str, str]) -> Copy:
    if loan is None:
        return Copy(book_id=book_id, book=book)
    reader_id = loan["reader_id"]
    return Copy(
        book_id=book_id,
        book=book,
        reader_id=reader_id,
        reader_name=names.get(reader_id, reader_id),
        lent_at=loan["lent_at"],
    )
