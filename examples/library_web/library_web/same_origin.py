from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ANSWERED = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class SameOrigin:
    """Refuses forms that another site's page has sent, by what browsers say of themselves: no cookie, no token."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ANSWERED.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["method"] in SAFE or is_same_origin(Headers(scope=scope)):
            await self._app(scope, receive, answer)
        else:
            refused = PlainTextResponse("This form was sent by another site's page, and was not taken.\n", 403)
            await refused(scope, receive, answer)


def is_same_origin(headers: Headers) -> bool:
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in {"same-origin", "none"}
    if (origin := headers.get("origin")) is not None:
        return urlsplit(origin).netloc == headers.get("host", "")
    # No browser sends a form without either.
    return True
