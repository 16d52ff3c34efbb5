"""Schedule: the commands that wait to be sent, and, if allowed, cancelling them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from eventstore.counted import counted
from worker.chosen_stores import chosen
from worker.console.attempt import attempt
from worker.console.console import Console
from worker.console.forms import Form
from worker.schedule.complaints import commands_of
from worker.schedule.scheduled import Waiting
from worker.stores import StoreSettings

__all__ = ["SchedulePage"]

_PURPOSE = "worker console"
_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The commands that wait in one database.

    Attributes:
        place: Where the database is, without a password.
        rows: The commands.
        is_cut: Whether there are more than are shown.
        trouble: Why the database could not be read; None if it was.
    """

    place: str
    rows: Sequence[Waiting]
    is_cut: bool
    trouble: str | None


class SchedulePage:
    """The page ``/schedule``.

    Args:
        console: What the pages share.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    async def show(self, _: Request) -> Response:
        """List the commands that wait, by database."""
        groups: list[_Group] = []
        places = await attempt(self._places())
        for place, store in (places.value or {}).items():
            found = await attempt(_waiting(store))
            rows = found.value or []
            groups.append(_Group(place=place, rows=rows[:_MOST], is_cut=len(rows) > _MOST, trouble=found.trouble))
        return self._console.renderer.page("schedule.html", groups=groups, trouble=places.trouble)

    async def treat(self, request: Request) -> Response:
        """Ask for confirmation to cancel commands, and do it once it is confirmed."""
        form = await Form.of(request, self._console)
        if form.one("action") != "cancel":
            raise HTTPException(400, "The form cannot be read: it names no action.")
        chosen_ids = [_identity(each) for each in dict.fromkeys(form.all("id"))]
        if not chosen_ids:
            raise HTTPException(400, "No command is selected: go back, and select some.")
        place = form.one("place")
        places = await attempt(self._places())
        store = (places.value or {}).get(place)
        if store is None:
            raise HTTPException(404, f"The console does not read a database {place}.")
        commands = counted(len(chosen_ids), "scheduled command")
        if not form.is_confirmed:
            return self._console.renderer.page(
                "confirm.html",
                path="/schedule",
                title=f"Cancel {commands}?",
                text="They will not be sent, nor will a command with one of their ids that arrives within 30 days.",
                items=[str(command_id) for _, command_id in chosen_ids],
                fields=[("place", place), *(("id", f"{domain}/{command_id}") for domain, command_id in chosen_ids)],
                action="cancel",
                is_danger=True,
                asks_reason=False,
                back="/schedule",
            )
        found = await attempt(_cancelled(store, chosen_ids))
        done, left = found.value or (0, [])
        listed = ", ".join(f"{domain} {command_id}" for domain, command_id in chosen_ids)
        form.log(f"{done} of {commands} {'was' if done == 1 else 'were'} cancelled: {listed}")
        return self._console.renderer.page(
            "done.html",
            path="/schedule",
            title="Scheduled commands",
            trouble=found.trouble,
            text=f"{done} of {len(chosen_ids)} {'was' if done == 1 else 'were'} cancelled.",
            left=left,
            back="/schedule",
        )

    async def _places(self) -> dict[str, StoreSettings]:
        stores = chosen(self._console.settings, None)
        return {store.place: store for store in stores}


def _identity(text: str) -> tuple[str, UUID]:
    domain, _, command_id = text.rpartition("/")
    try:
        return domain, UUID(command_id)
    except ValueError:
        raise HTTPException(400, "The form cannot be read: an id is not a UUID.") from None


async def _waiting(store: StoreSettings) -> list[Waiting]:
    async with commands_of(store, purpose=_PURPOSE) as commands:
        return await commands.waiting(None, _MOST + 1)


async def _cancelled(store: StoreSettings, ids: Sequence[tuple[str, UUID]]) -> tuple[int, list[str]]:
    """Cancel commands; return how many were cancelled, and why others were not."""
    done, left = 0, []
    async with commands_of(store, purpose=_PURPOSE) as commands:
        for domain, command_id in ids:
            match await commands.cancel(domain, command_id):
                case "cancelled":
                    done += 1
                case "being_sent":
                    left.append(f"It is too late: {command_id} is being sent.")
                case _:
                    left.append(
                        f"{command_id} does not wait any more. If its message arrives later, it will not be sent."
                    )
    return done, left
