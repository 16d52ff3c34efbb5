"""Followers: all kinds, with their progress, and what stops them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from worker.chosen_stores import chosen
from worker.console.attempt import CachedAnswer, Found, attempt
from worker.console.console import Console
from worker.console.forms import Form
from worker.reading import administration
from worker.reading.complaints import session_at
from worker.reading.declared import EVERY_KIND
from worker.reading.followers import FollowerName, FollowerRow, Followers
from worker.reading.state import state_of
from worker.schedule.scheduled import KIND
from worker.settings import Settings
from worker.stores import place_of

__all__ = ["FollowerGroup", "FollowersPage"]

_REFRESH_SECONDS = 5
# Every number with at most this many digits is a possible sequence number.
_MOST_DIGITS = 18


class Action(StrEnum):
    """What a person can do about a follower."""

    PAUSE = "pause"
    RESUME = "resume"
    SKIP = "skip"


_EFFECTS = {
    Action.PAUSE: "It is paused in every process, until it is resumed.",
    Action.RESUME: "It continues; an event that stopped it is retried.",
    Action.SKIP: "The event is skipped for good. Your address and the reason are recorded.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerGroup:
    """The followers of one kind in one database.

    Attributes:
        place: Where the database is, without a password.
        kind: The kind, such as ``projection``.
        rows: The followers.
    """

    place: str
    kind: str
    rows: Sequence[FollowerRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A database, and the result of reading it.

    Attributes:
        name: Where the database is, without a password.
        groups: Its followers, by kind.
    """

    name: str
    groups: Found[list[FollowerGroup]]


class FollowersPage:
    """The page ``/followers``.

    Args:
        console: What the pages share.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._found: CachedAnswer[Sequence[_Place]] = CachedAnswer(self._look, seconds=_REFRESH_SECONDS - 0.5)

    async def show(self, _: Request) -> Response:
        """Show all followers."""
        found = await self._found.get()
        places = found.value or ()
        groups = [
            (
                group,
                [(row, state_of(row), _behind(row), _actions(row)) for row in group.rows],
            )
            for place in places
            for group in place.groups.value or ()
        ]
        troubles = [(place.name, place.groups.trouble) for place in places if place.groups.trouble is not None]
        return self._console.renderer.page(
            "followers.html", refresh=_REFRESH_SECONDS, trouble=found.trouble, troubles=troubles, groups=groups
        )

    async def treat(self, request: Request) -> Response:
        """Ask for confirmation to pause or resume a follower, or to skip an event, and do it once it is confirmed."""
        form = await Form.of(request, self._console)
        action, place, name = self._meant(form)
        event = _number(form.one("event")) if action is Action.SKIP else None
        if not form.is_confirmed:
            fields = [("place", form.one("place")), ("kind", name.kind), ("name", str(name))]
            return self._console.renderer.page(
                "confirm.html",
                path="/followers",
                title=f"{action.value.capitalize()} {f'event {event} of ' if event else ''}the {name.kind} {name}?",
                text=_EFFECTS[action],
                items=(),
                fields=[*fields, *([("event", event)] if event else [])],
                action=action.value,
                is_danger=action is Action.SKIP,
                asks_reason=action is Action.SKIP,
                back="/followers",
            )
        reason = form.one("reason").strip() if action is Action.SKIP else ""
        if action is Action.SKIP and not reason:
            raise HTTPException(400, "The reason is missing: go back, and write it.")
        found = await attempt(_done(place, action, name, event, reason=reason, by=f"console, from {form.address}"))
        self._found.forget()
        form.log(f"{name.kind} {name}: {action.value}: {found.value or found.trouble}")
        return self._console.renderer.page(
            "done.html",
            path="/followers",
            title=f"The {name.kind} {name}",
            trouble=found.trouble,
            text=found.value,
            left=(),
            back="/followers",
        )

    def _meant(self, form: Form) -> tuple[Action, tuple[str, str], FollowerName]:
        action = form.action(Action)
        kind, (domain, _, own) = form.one("kind"), form.one("name").partition(".")
        places = {place_of(*each): each for each in _databases(self._console.settings)}
        if kind not in EVERY_KIND or form.one("place") not in places:
            raise HTTPException(404, "There is no such follower.")
        return action, places[form.one("place")], FollowerName(kind=kind, domain=domain, name=own)

    async def _look(self) -> Sequence[_Place]:
        databases = _databases(self._console.settings)
        found = await asyncio.gather(*(attempt(_groups(*each)) for each in databases))
        return [_Place(name=place_of(*each), groups=groups) for each, groups in zip(databases, found, strict=True)]


def _behind(row: FollowerRow) -> int | None:
    """Return the number of unread events; None for a schedule, which has a lease and reads no events."""
    return None if row.name.kind == KIND else max(row.head - row.position.number, 0)


def _actions(row: FollowerRow) -> Sequence[Action]:
    """Return the possible actions on a follower; none after a rewritten log, since that needs a position as well."""
    if row.name.kind not in EVERY_KIND or row.diverged_from is not None:
        return ()
    if row.failure is not None:
        return (Action.RESUME, Action.SKIP)
    return (Action.PAUSE,) if row.paused_at is None else (Action.RESUME,)


def _number(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > _MOST_DIGITS:
        raise HTTPException(400, "The form cannot be read: the event is not a number.")
    return int(text)


async def _done(
    place: tuple[str, str], action: Action, name: FollowerName, event: int | None, *, reason: str, by: str
) -> str:
    """Do what was requested, and return a sentence about it."""
    url, schema = place
    async with session_at(url, purpose="worker console", schema=schema) as session:
        match action:
            case Action.PAUSE:
                await administration.pause(session, name)
                return f"{name} is paused."
            case Action.RESUME:
                await administration.resume(session, name)
                return f"{name} continues."
            case Action.SKIP:
                left_out = await administration.skip(session, name, event, by=by, reason=reason)
                return f"{name} continues without event {', '.join(map(str, left_out))}."


def _databases(settings: Settings) -> list[tuple[str, str]]:
    """Return the databases that may have followers: each address with the schema of a store."""
    stores = chosen(settings, None)
    found = [(settings.projections_url or store.database_url, store.database_schema) for store in stores]
    return list(dict.fromkeys(found))


async def _groups(url: str, schema: str) -> list[FollowerGroup]:
    rows = await _followers(url, schema)
    return [
        FollowerGroup(place=place_of(url, schema), kind=kind, rows=[row for row in rows if row.name.kind == kind])
        for kind in dict.fromkeys(row.name.kind for row in rows)
    ]


async def _followers(url: str, schema: str) -> list[FollowerRow]:
    async with (
        session_at(url, purpose="worker console", schema=schema, reads=True) as session,
        session.transaction() as transaction,
    ):
        return await Followers(transaction).every()
