"""The web program as a test sees it: over HTTP, by what its pages say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import count
from uuid import uuid4

import httpx

from eventstore import Filter, P, RecordedEvent
from eventstore.postgres import PostgresEventStore
from examples.library_web.library_web.app import create_app
from examples.library_web.library_web.connections import Library, opened
from examples.library_web.library_web.server import listen, serve
from examples.library_web.library_web.settings import Settings
from handlers import Command
from handlers.library.add_book_copy import AddBookCopyToCirculation
from handlers.library.register_reader import RegisterReader
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The program, and what it runs on.

    Attributes:
        database: Where its events and tables are.
        settings: Its settings.
        store: The log.
        address: Where it listens.
        library: What it has opened.
    """

    database: Database
    settings: Settings
    store: PostgresEventStore
    address: str
    library: Library

    async def begin(self) -> None:
        """Wait until the tables are there."""

        async def are_there() -> bool:
            async with browser(self.address) as client:
                return (await client.get("/")).status_code == httpx.codes.OK

        await eventually(are_there, what="the shelves")

    async def book(self, title: str | None = None) -> tuple[str, str]:
        """Add a book, and return its id and title."""
        book_id = f"book-{next(_numbers)}"
        title = title or f"Title of {book_id}"
        await self.decides(
            AddBookCopyToCirculation(
                book_id=book_id, isbn="-", title=title, authors="A", edition="1", publisher="P", publication_year=1900
            )
        )
        return book_id, title

    async def reader(self) -> str:
        """Register a reader, and return the id."""
        reader_id = f"reader-{next(_numbers)}"
        await self.decides(RegisterReader(reader_id=reader_id, name=f"Name of {reader_id}"))
        return reader_id

    async def decides(self, command: Command) -> None:
        reply = await self.library.commands.send(command, uuid4())
        assert reply.outcome == "accepted", reply

    async def lendings(self, book_id: str) -> tuple[RecordedEvent, ...]:
        """What is on record of a book's lendings."""
        lent = Filter.matching().any_event_type_of("BookCopyLentToReader").and_any_predicate_of(P("BookID", book_id))
        return (await self.store.query(lent)).events


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[str, Library]]:
    """Serve the program from this process until the end of the ``async with``."""
    stop = asyncio.Event()
    with listen("127.0.0.1", 0) as listening:
        async with opened(settings) as library:
            app = create_app(library, settings)
            serving = asyncio.create_task(
                serve(app, listening, stop, ending=library.changes.close, log_level="warning")
            )
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}", library
            finally:
                stop.set()
                await serving


@asynccontextmanager
async def in_process(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Call the program without a server in between."""
    async with opened(settings) as library:
        transport = httpx.ASGITransport(create_app(library, settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


def browser(address: str) -> httpx.AsyncClient:
    """A client that follows redirects, as browsers do."""
    return httpx.AsyncClient(base_url=address, follow_redirects=True, timeout=60)


@dataclass(slots=True)
class Form:
    """A form of a page.

    Attributes:
        action: Where it is sent.
        fields: What it holds.
    """

    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.found.append(Form(given.get("action") or ""))
        elif tag == "input" and self.found:
            self.found[-1].fields[given.get("name") or ""] = given.get("value") or ""


def form_of(page: httpx.Response, book_id: str) -> Form:
    """The form by which a book is lent or returned, or its command sent again."""
    parser = _Forms()
    parser.feed(page.text)
    (found,) = [form for form in parser.found if form.fields.get("book_id") == book_id]
    return found
