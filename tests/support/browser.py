"""A minimal browser for an ASGI application in the test's process: enough for the console."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.types import ASGIApp, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response.

    Attributes:
        status: Its status.
        headers: Its headers; the names are in lower case.
        text: Its body.
    """

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def seen(self) -> str:
        """The visible text of a page: without tags, white space collapsed."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.text.partition("<main")[2])).split())

    def fields(self) -> dict[str, list[str]]:
        """Return the values of the hidden fields of the page's forms, by name."""
        found: dict[str, list[str]] = {}
        for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.text):
            found.setdefault(name, []).append(unescape(value))
        return found


@dataclass(slots=True, kw_only=True)
class Browser:
    """Sends requests to an application.

    Attributes:
        app: The application.
        host: The host that requests name.
        password: The password that is sent if the application asks for one.
        headers: Additional headers of every request.
        bugs: The exceptions that the application raised after it had answered with an error.
    """

    app: ASGIApp
    host: str = "127.0.0.1:8200"
    password: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    bugs: list[Exception] = field(default_factory=list)

    async def get(self, address: str, **headers: str) -> Answer:
        """Open a page."""
        return await self.request("GET", address, headers=headers)

    async def post(
        self, address: str, fields: Mapping[str, str | Sequence[str]], *, origin: str | None = "", **headers: str
    ) -> Answer:
        """Send a form, by default from the application's own origin; with ``None``, without an origin."""
        sent = {"content-type": "application/x-www-form-urlencoded", **headers}
        if origin is not None:
            sent["origin"] = origin or f"http://{self.host}"
        return await self.request("POST", address, headers=sent, body=urlencode(fields, doseq=True).encode())

    async def request(
        self, method: str, address: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request."""
        parts = urlsplit(address)
        sent = {"host": self.host, **self.headers, **(headers or {})}
        if self.password is not None:
            sent["authorization"] = f"Basic {base64.b64encode(f'me:{self.password}'.encode()).decode()}"
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": ("127.0.0.1", 1234),
            "server": ("127.0.0.1", 8200),
            "state": {},
        }
        messages: list[Message] = []
        inbox: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return inbox.pop() if inbox else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            messages.append(message)

        try:
            await self.app(scope, receive, send)
        except Exception as bug:
            if not messages:
                raise
            self.bugs.append(bug)
        start = messages[0]
        return Answer(
            status=start["status"],
            headers={name.decode().lower(): value.decode() for name, value in start["headers"]},
            text=b"".join(message.get("body", b"") for message in messages[1:]).decode(),
        )
