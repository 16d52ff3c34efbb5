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
from worker.domain_variables import suffix_of
from worker.failures import naming
from worker.reading import administration
from worker.reading.complaints import session_at
from worker.reading.declared import EVERY_KIND
from worker.reading.followers import FollowerName, FollowerRow, Followers
from worker.reading.state import state_of
from worker.reading_store import head_of
from worker.schedule.scheduled import KIND
from worker.settings import Settings
from worker.stores import StoreSettings, place_of

__all__ = ["FollowerGroup", "FollowersPage"]

_PURPOSE = "worker console"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """A log that is followed, and its head as it is now: the row of a follower that does not run has an old one.

    Attributes:
        name: Where the log is, without a password.
        suffixes: The suffixes of its domains; empty if they are not known.
        is_beside: Whether its database has the checkpoints of its followers, and of no others.
        followers: Where its followers are.
        head: Sequence number of its head.
    """

    name: str
    suffixes: frozenset[str]
    is_beside: bool
    followers: str
    head: Found[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the page was told.

    Attributes:
        places: The databases with followers.
        logs: The logs that they follow.
    """

    places: Sequence[_Place] = ()
    logs: Sequence[_Log] = ()

    def log_of(self, place: str, row: FollowerRow) -> _Log | None:
        """Return the log that a follower reads; None if it is of a domain that is not known here, or reads none."""
        if row.name.kind == KIND:
            return None
        there = [log for log in self.logs if log.followers == place]
        own = [log for log in there if suffix_of(row.name.domain) in log.suffixes]
        return next(iter(own or [log for log in there if log.is_beside or not log.suffixes]), None)


class FollowersPage:
    """The page ``/followers``.

    Args:
        console: What the pages share.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._found: CachedAnswer[_Answer] = CachedAnswer(self._look, seconds=_REFRESH_SECONDS - 0.5)

    async def show(self, _: Request) -> Response:
        """Show all followers."""
        found = await self._found.get()
        answer = found.value or _Answer()
        groups, read = [], []
        for place in answer.places:
            for group in place.groups.value or ():
                logs = [answer.log_of(place.name, row) for row in group.rows]
                rows = zip(group.rows, logs, strict=True)
                groups.append((group, [(row, state_of(row), _behind(row, log), _actions(row)) for row, log in rows]))
                read += [log for log in logs if log is not None]
        troubles = [(each.name, each.groups.trouble) for each in answer.places if each.groups.trouble is not None]
        unread = {log.name: log.head.trouble for log in read if log.head.trouble is not None}
        return self._console.renderer.page(
            "followers.html",
            refresh=_REFRESH_SECONDS,
            trouble=found.trouble,
            troubles=troubles,
            unread=unread.items(),
            groups=groups,
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

    async def _look(self) -> _Answer:
        settings = self._console.settings
        stores, databases = chosen(settings, None), _databases(settings)
        found, heads = await asyncio.gather(
            asyncio.gather(*(attempt(_groups(*each, variable)) for each, variable in databases.items())),
            asyncio.gather(*(attempt(_head(store)) for store in stores)),
        )
        return _Answer(
            places=[_Place(name=place_of(*each), groups=groups) for each, groups in zip(databases, found, strict=True)],
            logs=[self._log(store, head) for store, head in zip(stores, heads, strict=True)],
        )

    def _log(self, store: StoreSettings, head: Found[int]) -> _Log:
        settings = self._console.settings
        # A store of all domains does not name them.
        domains = store.domains or [domain.name for domain in self._console.domains]
        return _Log(
            name=store.place,
            suffixes=frozenset(map(suffix_of, domains)),
            is_beside=not settings.projections_url,
            followers=place_of(*_database(settings, store)),
            head=head,
        )


def _behind(row: FollowerRow, log: _Log | None) -> int | None:
    """Return the number of unread events; None if that is not known, or for a schedule, which reads no events."""
    head = None if log is None else log.head.value
    return None if head is None else max(head - row.position.number, 0)


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
    async with session_at(url, purpose=_PURPOSE, schema=schema) as session:
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


def _databases(settings: Settings) -> dict[tuple[str, str], str]:
    """Return the databases that may have followers, each an address with the schema of a store, and its variable."""
    return {
        _database(settings, store): "PROJECTIONS_URL" if settings.projections_url else store.variable("database_url")
        for store in chosen(settings, None)
    }


def _database(settings: Settings, store: StoreSettings) -> tuple[str, str]:
    return settings.projections_url or store.database_url, store.database_schema


async def _head(store: StoreSettings) -> int:
    return await head_of(store, application_name=_PURPOSE)


async def _groups(url: str, schema: str, variable: str) -> list[FollowerGroup]:
    with naming(variable):
        rows = await _followers(url, schema)
    return [
        FollowerGroup(place=place_of(url, schema), kind=kind, rows=[row for row in rows if row.name.kind == kind])
        for kind in dict.fromkeys(row.name.kind for row in rows)
    ]


async def _followers(url: str, schema: str) -> list[FollowerRow]:
    async with (
        session_at(url, purpose=_PURPOSE, schema=schema, reads=True) as session,
        session.transaction() as transaction,
    ):
        return await Followers(transaction).every()
