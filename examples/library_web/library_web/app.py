from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Form, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, StringConstraints
from starlette.middleware.trustedhost import TrustedHostMiddleware

from eventstore import EventStoreError, Position
from handlers import Command
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.library.return_book_copy import ReturnBookCopyFromReader
from worker.errors import NoReply, ProjectionError, WorkerError

from .connections import Library
from .pages import Pages
from .same_origin import SameOrigin
from .settings import Settings
from .shelves import ReadModelsAway

FOLDER = Path(__file__).parent

Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100, pattern=r"^[^\x00-\x1f]*$")]
Name = Annotated[Words, StringConstraints(min_length=1)]


class Loan(BaseModel):
    """What a form holds. Its command's id was made with it, so that sending it again is the same command."""

    command_id: UUID
    book_id: Name
    reader_id: Name
    # What was shown when the form was sent, and is shown again.
    reader: Words = ""
    search: Words = ""


class Asked(BaseModel):
    """What of the shelves is to be shown, and after which command."""

    reader: Words = ""
    search: Words = ""
    command: UUID | None = None
    book: Words = ""
    # Whether the form had been sent before.
    again: bool = False
    seen: Words = ""


def create_app(library: Library, settings: Settings) -> FastAPI:
    app = FastAPI(title="Library", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.library = library
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    app.include_router(router)
    for error in (EventStoreError, ReadModelsAway, ProjectionError):
        app.add_exception_handler(error, pages.away)
    app.add_exception_handler(RequestValidationError, pages.wrong)
    app.add_middleware(SameOrigin)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.names))
    return app


async def library_of(request: Request) -> Library:
    library: Library = request.app.state.library
    return library


Opened = Annotated[Library, Depends(library_of)]
router = APIRouter()
pages = Pages(FOLDER / "templates")


@router.get("/")
async def shelves(request: Request, library: Opened, asked: Annotated[Asked, Query()]) -> Response:
    """Show the shelves; after a command, at least as far as its answer, so that a person sees what it did."""
    receipt = await library.commands.receipt(asked.command) if asked.command is not None else None
    seen = receipt.position if receipt is not None else position_of(asked.seen)
    found = await library.shelves.shelves(search=asked.search, reader_id=asked.reader, seen=seen)
    return pages.shelves(request, found, asked, receipt)


@router.post("/lend")
async def lend(request: Request, library: Opened, loan: Annotated[Loan, Form()]) -> Response:
    return await decided(request, library, loan, LendBookCopyToReader(book_id=loan.book_id, reader_id=loan.reader_id))


@router.post("/return")
async def give_back(request: Request, library: Opened, loan: Annotated[Loan, Form()]) -> Response:
    command = ReturnBookCopyFromReader(book_id=loan.book_id, reader_id=loan.reader_id)
    return await decided(request, library, loan, command)


async def decided(request: Request, library: Library, loan: Loan, command: Command) -> Response:
    try:
        reply = await library.commands.send(command, loan.command_id)
    except NoReply:
        return pages.unanswered(request, loan)
    except WorkerError as error:
        return pages.unsent(request, loan, error)
    if reply.outcome == "failed":
        return pages.failed(request, loan, reply)
    asked = Asked(
        reader=loan.reader, search=loan.search, book=loan.book_id, command=loan.command_id, again=reply.duplicate
    )
    shown = request.url_for("shelves").include_query_params(**asked.model_dump(mode="json", exclude_defaults=True))
    return RedirectResponse(f"{shown.path}?{shown.query}", 303)


@router.get("/commands/{command_id}")
async def look_up(request: Request, library: Opened, command_id: UUID) -> Response:
    return pages.command(request, command_id, await library.commands.receipt(command_id))


@router.get("/changes", response_class=EventSourceResponse)
async def changes(
    library: Opened, seen: Words = "", last_event_id: Annotated[Words, Header()] = ""
) -> AsyncIterator[ServerSentEvent]:
    """Tell a browser whenever something has changed, from where its page is, or was when the stream broke."""
    async for position in library.changes.watch(position_of(last_event_id) or position_of(seen)):
        yield ServerSentEvent(raw_data=str(position), id=str(position))


def position_of(text: str) -> Position | None:
    """Read a position that came with a request; None where it is none."""
    try:
        return Position.parse(text)
    except ValueError:
        return None
