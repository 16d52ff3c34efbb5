"""A command: its outcome, its events, and a link to its trace."""

from typing import Any
from urllib.parse import quote
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from worker.answers import AnswersFound, document, look_up
from worker.chosen_stores import chosen
from worker.console.attempt import attempt
from worker.console.console import Console
from worker.console.payloads import shown_fields

__all__ = ["Commands"]


class Commands:
    """The page ``/commands``.

    Args:
        console: What the pages share.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    async def show(self, request: Request) -> Response:
        """Show the outcome of the command with the given ``id``; without an id, a form for one."""
        text = request.query_params.get("id", "").strip()
        values: dict[str, Any] = {"id": text, "answers": [], "silent": (), "trouble": None, "is_unknown": False}
        if not text:
            return self._console.renderer.page("command.html", **values)
        try:
            key = UUID(text)
        except ValueError:
            values["trouble"] = "This is not a UUID: give the id that the command was published with."
            return self._console.renderer.page("command.html", status=400, **values)
        found = await attempt(self._look_up(key))
        values |= {"id": str(key), "trouble": found.trouble}
        if found.value is not None:
            values["answers"] = self._shown(found.value)
            values["silent"] = found.value.silent
            values["is_unknown"] = not found.value.answers
        return self._console.renderer.page("command.html", **values)

    async def _look_up(self, key: UUID) -> AnswersFound:
        return await look_up(chosen(self._console.settings, None), key)

    def _shown(self, found: AnswersFound) -> list[dict[str, Any]]:
        page = self._console.settings.worker_trace_url
        shown = []
        for receipt, events in found.answers:
            answer = document(receipt, events, "")
            if page and answer["trace_id"]:
                answer["trace_url"] = page.replace("{trace_id}", quote(str(answer["trace_id"]), safe=""))
            answer["position"] = receipt.position.number
            domain = answer["domain"] if self._console.settings.domain_databases else None
            answer["rows"] = [(event, shown_fields(event.payload, domain=domain)) for event in events]
            shown.append(answer)
        return shown
