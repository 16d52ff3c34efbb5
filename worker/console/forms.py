"""Forms: what a page of the console asks to be done, and whether it is allowed."""

import hmac
import logging
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

from worker.console.console import Console

__all__ = ["Form"]

_log = logging.getLogger(__name__)

_MOST_BYTES = 64 * 1024
_Action = TypeVar("_Action", bound=StrEnum)


class Form:
    """A form that requests a change, from a page of this console.

    Args:
        request: The request.
        fields: The values of its fields, by name.
    """

    def __init__(self, request: Request, fields: dict[str, list[str]]) -> None:
        self._request = request
        self._fields = fields

    @classmethod
    async def of(cls, request: Request, console: Console) -> "Form":
        """Read a form from a request.

        Args:
            request: The request.
            console: The console.

        Raises:
            HTTPException: The console allows no changes, the form is not from a page of this console, or it is too
                large.
        """
        if not console.allow_actions:
            raise HTTPException(403, "The console is read-only: start it with --allow-actions to allow actions.")
        fields = await _read(request)
        given = "".join(fields.get("token", []))
        if not hmac.compare_digest(given.encode(), console.token.encode()):
            raise HTTPException(
                403, "This page was loaded before the console was restarted: load it again, and repeat the action."
            )
        return cls(request, fields)

    @property
    def is_confirmed(self) -> bool:
        """Whether a person has confirmed the change."""
        return self._fields.get("confirmed") == ["yes"]

    def one(self, name: str) -> str:
        """Return the value of a field that occurs once.

        Raises:
            HTTPException: The field is missing, or occurs several times.
        """
        values = self.all(name)
        if len(values) != 1:
            raise HTTPException(400, f"The form cannot be read: its field {name} is missing, or occurs several times.")
        return values[0]

    def all(self, name: str) -> Sequence[str]:
        """Return the values of a field."""
        return self._fields.get(name, [])

    def action(self, known: type[_Action]) -> _Action:
        """Return the requested action.

        Args:
            known: The possible actions.

        Raises:
            HTTPException: It is none of them.
        """
        try:
            return known(self.one("action"))
        except ValueError:
            raise HTTPException(400, "The form cannot be read: it names no action.") from None

    def log(self, what: str) -> None:
        """Log what was done, and from which address."""
        _log.warning("%s, from %s", what, self.address)

    @property
    def address(self) -> str:
        """The address of the client."""
        return "an unknown address" if self._request.client is None else self._request.client.host


async def _read(request: Request) -> dict[str, list[str]]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "A form is expected.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise HTTPException(413, "The form is too large: select fewer at a time.")
    try:
        return parse_qs(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=1000)
    except ValueError:
        raise HTTPException(400, "The form cannot be read.") from None
