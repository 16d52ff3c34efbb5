"""The application: the pages by their paths."""

from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from worker.console.access import Access, Guard
from worker.console.console import Console
from worker.console.pages.commands import Commands
from worker.console.pages.dead_letters import DeadLettersPage
from worker.console.pages.events import Events
from worker.console.pages.followers import FollowersPage
from worker.console.pages.overview import Overview
from worker.console.pages.schedule import SchedulePage

__all__ = ["application"]

_STATIC = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


def application(console: Console, access: Access) -> ASGIApp:
    """Return the ASGI application of the console.

    Args:
        console: What the pages share.
        access: The rules for requests.
    """
    letters, followers, schedule = DeadLettersPage(console), FollowersPage(console), SchedulePage(console)
    routes = [
        Route("/", Overview(console).show),
        Route("/commands", Commands(console).show),
        Route("/events", Events(console).show),
        Route("/followers", followers.show),
        Route("/followers", followers.treat, methods=["POST"]),
        Route("/schedule", schedule.show),
        Route("/schedule", schedule.treat, methods=["POST"]),
        Route("/dead-letters", letters.show),
        Route("/dead-letters", letters.treat, methods=["POST"]),
        Route("/dead-letters/{domain}/{id:path}", letters.show_one),
        *(_static(name, kind) for name, kind in _STATIC.items()),
    ]

    async def refused(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return console.renderer.page("error.html", status=status, text=_told(error))

    return Guard(Starlette(routes=routes, exception_handlers={HTTPException: refused, Exception: refused}), access)


def _static(name: str, kind: str) -> Route:
    content = files("worker.console").joinpath("static", name).read_bytes()

    async def serve(_: Request) -> Response:
        return Response(content, media_type=kind)

    return Route(f"/static/{name}", serve)


def _told(error: Exception) -> str:
    if not isinstance(error, HTTPException):
        return "The console failed: its log has the error."
    if error.status_code == 404 and error.detail == "Not Found":  # noqa: PLR2004  HTTP's status code
        return "There is no such page."
    if error.status_code == 405:  # noqa: PLR2004  the same
        return "This page does not accept this method."
    return error.detail
