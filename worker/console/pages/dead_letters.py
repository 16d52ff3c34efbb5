"""Dead letters: a list, a single letter in full, and, if allowed, replaying and discarding them."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from eventstore.counted import counted
from worker.console.attempt import attempt
from worker.console.console import Console
from worker.console.forms import Form
from worker.console.letters import Action, Letters
from worker.dead_letters.letter import DeadLetter, same_id
from worker.dead_letters.selection import Selection
from worker.rounds.forwarding import ERROR_HEADER, TRACEBACK_HEADER
from worker.topology import Topology

__all__ = ["DeadLettersPage"]

_LOOK_SECONDS = 60.0
_TREAT_SECONDS = 300.0
_MOST_BODY = 64 * 1024
_SHOWN_ABOVE = frozenset({ERROR_HEADER, TRACEBACK_HEADER})
_EFFECTS = {
    Action.REPLAY: "They are sent to their queue again, with their id, trace and reply queue.",
    Action.DISCARD: "They are removed for good.",
}
_PARTICIPLES = {Action.REPLAY: "replayed", Action.DISCARD: "discarded"}


class DeadLettersPage:
    """The pages below ``/dead-letters``.

    Args:
        console: What the pages share.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._letters = Letters(console.settings)

    async def show(self, request: Request) -> Response:
        """List the letters of a domain, or of all domains."""
        query = request.query_params
        asked = {name: query.get(name, "").strip() for name in ("domain", "reason", "command", "id")}
        selection = Selection(
            ids=frozenset({same_id(asked["id"])} if asked["id"] else ()),
            reasons=frozenset({asked["reason"]} if asked["reason"] else ()),
            commands=frozenset({asked["command"]} if asked["command"] else ()),
        )
        topologies = self._console.topologies()
        found = [
            (topology, await attempt(self._letters.listed(topology, selection), seconds=_LOOK_SECONDS))
            for topology in topologies
            if asked["domain"] in {"", topology.domain_name}
        ]
        return self._console.renderer.page(
            "dead_letters.html",
            asked=asked,
            found=found,
            domains=[topology.domain_name for topology in topologies],
        )

    async def show_one(self, request: Request) -> Response:
        """Show everything about a letter."""
        topology = self._topology(request.path_params["domain"])
        found = await attempt(self._letters.one(topology, request.path_params["id"]), seconds=_LOOK_SECONDS)
        letter = found.value
        return self._console.renderer.page(
            "dead_letter.html",
            status=200 if letter is not None or found.trouble else 404,
            domain=topology.domain_name,
            id=request.path_params["id"],
            letter=letter,
            trouble=found.trouble,
            body=None if letter is None else letter.body[:_MOST_BODY].decode(errors="backslashreplace"),
            is_cut=letter is not None and letter.size > _MOST_BODY,
            headers=[] if letter is None else _headers(letter),
            trace_url=self._trace_url(letter),
        )

    async def treat(self, request: Request) -> Response:
        """Ask for confirmation to replay or discard letters, and do it once it is confirmed."""
        form = await Form.of(request, self._console)
        action, topology, ids = self._meant(form)
        letters = f"{counted(len(ids), 'dead letter')} of {topology.domain_name}"
        back = f"/dead-letters?{urlencode({'domain': topology.domain_name})}"
        if not form.is_confirmed:
            return self._console.renderer.page(
                "confirm.html",
                path="/dead-letters",
                title=f"{action.value.capitalize()} {letters}?",
                text=_EFFECTS[action],
                items=ids,
                fields=[("domain", topology.domain_name), *(("id", each) for each in ids)],
                action=action.value,
                is_danger=action is Action.DISCARD,
                asks_reason=False,
                back=back,
            )
        found = await attempt(self._letters.treat(action, topology, ids), seconds=_TREAT_SECONDS)
        done = 0 if found.value is None else found.value.count
        form.log(f"{done} of {letters} {'was' if done == 1 else 'were'} {_PARTICIPLES[action]}: {', '.join(ids)}")
        told = f"{done} of {len(ids)} {'was' if done == 1 else 'were'} {_PARTICIPLES[action]}."
        return self._console.renderer.page(
            "done.html",
            path="/dead-letters",
            title=f"Dead letters of {topology.domain_name}",
            trouble=found.trouble,
            text=told,
            left=() if found.value is None else found.value.left,
            back=back,
        )

    def _meant(self, form: Form) -> tuple[Action, Topology, Sequence[str]]:
        action = form.action(Action)
        ids = list(dict.fromkeys(filter(None, form.all("id"))))
        if not ids:
            raise HTTPException(400, "No letter is selected: go back, and select some.")
        return action, self._topology(form.one("domain")), ids

    def _topology(self, domain: str) -> Topology:
        for topology in self._console.topologies():
            if topology.domain_name == domain:
                return topology
        raise HTTPException(404, f"No worker serves a domain {domain}, and WORKER_DOMAINS does not name it.")

    def _trace_url(self, letter: DeadLetter | None) -> str | None:
        page = self._console.settings.worker_trace_url
        # A trace id consists of hexadecimal digits only.
        return page.replace("{trace_id}", letter.trace_id) if page and letter is not None and letter.trace_id else None


def _headers(letter: DeadLetter) -> list[tuple[str, Any]]:
    return sorted((name, value) for name, value in letter.document()["headers"].items() if name not in _SHOWN_ABOVE)
