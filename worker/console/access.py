"""Access: which requests are answered, and what a browser may do with the answer."""

import base64
import hmac
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Access", "Guard", "Refusal"]

_SAFE = frozenset({"GET", "HEAD"})
# Browsers load, run and connect to nothing but what the console serves, and do not show it in a frame.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Refusal(Exception):
    """Raised for a request that is refused. The message says why.

    Attributes:
        status: The HTTP status.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rules for requests.

    Attributes:
        names: The host names of the console, in lower case, besides ``localhost`` and any IP address. A page from
            elsewhere can make its own name resolve to this host; the name in the request decides whether it gets an
            answer.
        password: The password that a browser must send; empty for none.
    """

    names: Collection[str] = ()
    password: str = ""

    def check(self, method: str, headers: Headers) -> None:
        """Check whether a request is answered.

        Args:
            method: The HTTP method.
            headers: The request's headers.

        Raises:
            Refusal: The host name, the password or the origin is wrong.
        """
        self._check_host(headers)
        self._check_password(headers)
        if method not in _SAFE:
            _check_origin(headers)

    def _check_host(self, headers: Headers) -> None:
        host = _host_of(f"//{headers.get('host', '')}")
        if len(headers.getlist("host")) == 1 and host is not None:
            if host == "localhost" or host in self.names:
                return
            try:
                ipaddress.ip_address(host)
            except ValueError:
                pass
            else:
                # No host name resolves to it, so no other page can be mistaken for the console.
                return
        raise Refusal(
            421,
            "The console does not serve this host name: open it by its address, or start it with --allowed-host NAME.",
        )

    def _check_password(self, headers: Headers) -> None:
        if not self.password:
            return
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
        except ValueError:
            given = b""
        # The user name does not matter.
        if hmac.compare_digest(given.partition(b":")[2], self.password.encode()):
            return
        raise Refusal(
            401,
            "The console wants the password of WORKER_CONSOLE_PASSWORD; the user name may be any.",
            {"WWW-Authenticate": 'Basic realm="worker console", charset="UTF-8"'},
        )


class Guard:
    """Answers only requests that ``Access`` allows, and adds security headers to each answer.

    Args:
        app: The application that answers.
        access: The rules for requests.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as an ASGI application."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if scope["type"] != "http":
            return
        try:
            self._access.check(scope["method"], Headers(scope=scope))
        except Refusal as refusal:
            response = PlainTextResponse(f"{refusal}\n", refusal.status, headers=refusal.headers)
            await response(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


def _check_origin(headers: Headers) -> None:
    """Check that a request for a change comes from a page of the console: browsers send the page's origin."""
    origin = urlsplit(headers.get("origin", ""))
    is_own = origin.scheme in {"http", "https"} and origin.netloc.lower() == headers["host"].lower()
    if not is_own or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Refusal(403, "Only the console's own pages can start an action: open the console, and do it there.")


def _host_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return None if "@" in parts.netloc or parts.path else (parts.hostname or None)
