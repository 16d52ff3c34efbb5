import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.templating import Jinja2Templates

from eventstore import OutcomeKind, Receipt
from worker import Reply
from worker.errors import ProjectionError, Unroutable, WorkerError

from .shelves import MOST_COPIES, Shelves

if TYPE_CHECKING:
    from .app import Asked, Loan

_log = logging.getLogger(__name__)

# What a command did, or did not, in a person's words.
SAID = {
    "LendBookCopyToReader": ("was lent", "was not lent", "is with this reader already"),
    "ReturnBookCopyFromReader": ("was returned", "was not taken back", "has been returned already"),
}
AWAY = "The library cannot look at its shelves just now: its database does not answer. Nothing is lost; try again soon."
UNREADY = "The shelves are not set up yet: what fills the table of loans, “worker project”, has not run."
UNSERVED = "Nobody takes commands yet: no worker of the library has run."
BROKEN = "The library cannot take your request just now: its message broker does not answer."
USED = "This form was sent before, for another reader. Go back to the shelves, whose forms are new."
TWICE = "The form had been sent before: it is one command, and this is its answer."
PUT_ASIDE = "This could not be decided, and was put aside for the people who look after the library."


class Pages:
    """What people see."""

    def __init__(self, folder: Path) -> None:
        self._templates = Jinja2Templates(directory=folder)
        # A form's command has its id before it is sent, so that however often it is sent, it is one command.
        self._templates.env.globals |= {"new_id": uuid4, "moment": moment}

    def shelves(self, request: Request, shelves: Shelves, asked: "Asked", receipt: Receipt | None) -> Response:
        named = shelves.titles.get(asked.book)
        notice = None if receipt is None else sentence(receipt, named.title if named is not None else asked.book)
        return self._page(
            request,
            "shelves.html",
            shelves=shelves,
            asked=asked,
            notice=notice and f"{notice} {TWICE}" if asked.again else notice,
            is_done=receipt is not None and receipt.outcome.kind is not OutcomeKind.REJECTED,
            most=MOST_COPIES,
        )

    def command(self, request: Request, command_id: UUID, receipt: Receipt | None) -> Response:
        status = 404 if receipt is None else 200
        return self._page(request, "command.html", status=status, command_id=command_id, receipt=receipt)

    def unanswered(self, request: Request, loan: "Loan") -> Response:
        text = "Your request was sent, but no answer came in time. It may still be decided."
        return self._page(request, "again.html", status=504, title="No answer yet", text=text, loan=loan)

    def unsent(self, request: Request, loan: "Loan", error: WorkerError) -> Response:
        _log.error("a command was not sent: %s", error)
        text = UNSERVED if isinstance(error, Unroutable) else BROKEN
        return self._page(request, "again.html", status=503, title="Not sent", text=text, loan=loan)

    def failed(self, request: Request, loan: "Loan", reply: Reply) -> Response:
        is_used = reply.code == "id_reused"
        _log.error("command %s failed: %s", loan.command_id, reply.reason)
        return self._page(
            request,
            "trouble.html",
            status=409 if is_used else 500,
            title="Not done",
            text=USED if is_used else PUT_ASIDE,
            command_id=loan.command_id,
        )

    async def away(self, request: Request, error: Exception) -> Response:
        _log.error("the shelves cannot be read: %s", error)
        text = UNREADY if isinstance(error, ProjectionError) else AWAY
        return self._page(request, "trouble.html", status=503, title="Closed for a moment", text=text)

    async def wrong(self, request: Request, error: Exception) -> Response:
        found = error.errors() if isinstance(error, RequestValidationError) else []
        fields = {str(each["loc"][-1]) for each in found}
        text = (
            "Choose a reader first: who takes the book home?"
            if fields == {"reader_id"}
            else f"This request cannot be read: look at {', '.join(sorted(fields))}."
        )
        return self._page(request, "trouble.html", status=422, title="Something is missing", text=text)

    def _page(self, request: Request, template: str, *, status: int = 200, **named: Any) -> Response:
        # A page that is come back to is a new one, with new ids in its forms.
        headers = {"Cache-Control": "no-store"}
        return self._templates.TemplateResponse(request, template, named, status_code=status, headers=headers)


def sentence(receipt: Receipt, title: str) -> str:
    """Say what became of a command."""
    done, refused, nothing = SAID.get(
        str(receipt.outcome.details.get("command_type")), ("was done", "was not done", "was done before")
    )
    match receipt.outcome.kind:
        case OutcomeKind.ACCEPTED:
            return f"“{title}” {done}."
        case OutcomeKind.REJECTED:
            return f"“{title}” {refused}: {receipt.outcome.reason}."
        case OutcomeKind.UNCHANGED:
            return f"“{title}” {nothing}."


def moment(at: datetime) -> str:
    return f"{at:%d %b %Y, %H:%M} UTC"
