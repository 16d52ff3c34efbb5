"""Followers: what follows the log, of whichever kind, how far it has come, and what stops it."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from eventstore import EventStoreError
from eventstore.postgres import Session
from worker.cli.stores import chosen
from worker.console.attempt import Fresh
from worker.console.console import Console
from worker.reading.complaints import complaint
from worker.reading.followers import FollowerRow, Followers
from worker.settings import Settings
from worker.stores import place_of

__all__ = ["FollowerGroup", "FollowersPage"]

_REFRESH_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerGroup:
    """What one database says of its followers of one kind.

    Attributes:
        place: The database, without a password.
        kind: The kind, such as ``projection``.
        rows: The followers.
    """

    place: str
    kind: str
    rows: Sequence[FollowerRow]


class FollowersPage:
    """The page ``/followers``.

    Args:
        console: Where it looks.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._found: Fresh[list[FollowerGroup]] = Fresh(self._look, seconds=_REFRESH_SECONDS - 0.5)

    async def show(self, _: Request) -> Response:
        """Show them."""
        found = await self._found.get()
        groups = [
            (group, [(row, state_of(row), max(row.head - row.position.number, 0)) for row in group.rows])
            for group in found.value or ()
        ]
        return self._console.renderer.page(
            "followers.html", refresh=_REFRESH_SECONDS, trouble=found.trouble, groups=groups
        )

    async def _look(self) -> list[FollowerGroup]:
        groups = []
        for url, schema in _databases(self._console.settings):
            rows = await _followers(url, schema)
            for kind in dict.fromkeys(row.name.kind for row in rows):
                of_kind = [row for row in rows if row.name.kind == kind]
                groups.append(FollowerGroup(place=place_of(url, schema), kind=kind, rows=of_kind))
        return groups


def state_of(row: FollowerRow) -> tuple[str, str]:
    """Return how a follower stands, in a word for its look and in words for a person."""
    if row.diverged_from is not None:
        return "bad", f"stopped: the log was rewritten from event {row.diverged_from:,} on"
    if row.failure is not None:
        return "bad", f"stopped by event {row.failure.number:,}"
    if row.diverged_at is not None:
        return "bad", "derived from a lost history"
    if row.paused_at is not None:
        return "rest", "paused"
    if not row.is_leased:
        return "bad", "nothing runs it"
    return "good", "running" if row.is_current else "being built"


def _databases(settings: Settings) -> list[tuple[str, str]]:
    """Return where there are followers: the addresses of databases, each with the schema of a store."""
    stores = chosen(settings, None)
    found = [(settings.projections_url or store.database_url, store.database_schema) for store in stores]
    return list(dict.fromkeys(found))


async def _followers(url: str, schema: str) -> list[FollowerRow]:
    session = Session(url, purpose="worker console", schema=schema, reads=True)
    try:
        async with session.transaction() as transaction:
            return await Followers(transaction).every()
    except EventStoreError as error:
        raise complaint(error, session.schema) from error
    finally:
        await session.close()
