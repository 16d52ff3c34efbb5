"""``worker schedule run | list | cancel``."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer

from worker.chosen_stores import domain_names
from worker.cli.loop import run_async
from worker.cli.options import ControlSocket, DomainOption, Json
from worker.cli.terminal import print_json, table, tell
from worker.failures import Mistake
from worker.schedule.complaints import commands_of
from worker.schedule.scheduled import Cancelled, ScheduledCommands, Waiting
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.stores import StoreSettings, stores_of
from worker.supervision.supervisor import supervise

__all__ = ["cancel", "list_all", "run"]

T = TypeVar("T")
_MOST_PROCESSES = 64
_MOST = 100_000


def run(
    *,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_MOST_PROCESSES,
            help="How many processes to run, of which one works at a time; one that crashes is started again. By "
            "default one runs, and is not restarted if it crashes.",
        ),
    ] = None,
    control_socket: ControlSocket = None,
) -> None:
    """Store scheduled commands and send each when it is due, until SIGTERM or Ctrl-C.

    Any number of processes may run, on any host: one of them works for a domain at a time, and another takes over when
    that one ends.
    """
    settings = Settings.load(needs=("database_url", "amqp_url"))
    if processes is not None and control_socket is None:
        raise typer.Exit(run_async(supervise(settings, processes)))
    from worker import leased_service  # noqa: PLC0415  listing and cancelling need no AMQP library
    from worker.schedule.service import opened  # noqa: PLC0415  the same

    raise typer.Exit(run_async(leased_service.run(settings, opened(settings), control_socket=control_socket)))


def list_all(
    *,
    domain: DomainOption = None,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="The largest number of commands to show.")] = 100,
    json: Json = False,
) -> None:
    """List the commands that wait to be sent, the next one first.

    Commands whose message is still in its queue are not listed. Exit status 1 when one is due and could not be sent.
    """
    found: list[Waiting] = []
    for store in _stores(Settings.load(needs=("database_url",)), domain):
        found += _asked(store, partial(ScheduledCommands.waiting, domains=store.domains, most=limit))
    listed = sorted(found, key=lambda each: each.due_at)[:limit]
    if json:
        print_json([_document(each) for each in listed])
    elif not listed:
        tell("No command waits.")
    else:
        now = datetime.now(UTC)
        listing = table("command id", "type", "domain", "due", "state")
        for each in listed:
            due = f"{each.due_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
            listing.add_row(str(each.command_id), each.command_type, each.domain, due, each.state(now))
        tell(listing)
        if len(listed) == limit:
            tell(f"There may be more; --limit shows more than {limit:,}.")
    if any(each.error is not None for each in listed):
        raise typer.Exit(1)


def cancel(
    command_id: Annotated[str, typer.Argument(metavar="COMMAND_ID", help="The command's id, a UUID.")],
    *,
    domain: DomainOption = None,
) -> None:
    """Cancel a scheduled command, also while its message still waits in its queue.

    Exit status 1 when it is too late, or no command with this id waits.
    """
    try:
        identity = UUID(command_id)
    except ValueError:
        raise Mistake(f"{command_id!r} is not a UUID; `worker schedule list` shows the ids.") from None
    stores = _stores(Settings.load(needs=("database_url",)), domain)
    names = [name for store in stores for name in store.domains]
    if len(names) > 1:
        raise Mistake(f"one id may be scheduled in several domains: choose one with --domain, of {', '.join(names)}.")
    verdict: Cancelled = _asked(stores[0], partial(ScheduledCommands.cancel, domain=names[0], command_id=identity))
    if verdict == "cancelled":
        tell(f"Command {identity} is cancelled.")
        return
    if verdict == "being_sent":
        tell(f"It is too late: command {identity} is being sent. `worker status` shows its result.")
    else:
        tell(
            f"No scheduled command has the id {identity}: it was sent (`worker status` shows its result), cancelled "
            "before, or never scheduled. If its message is still in the queue, it will not be sent."
        )
    raise typer.Exit(1)


def _stores(settings: Settings, domain: str | None) -> tuple[StoreSettings, ...]:
    """Return the stores with the domains that are selected."""
    domain_names(settings, domain)
    return stores_of(settings, [each.name for each in served_domains(settings)], only=domain)


def _asked(store: StoreSettings, ask: Callable[[ScheduledCommands], Awaitable[T]]) -> T:
    async def asked() -> T:
        async with commands_of(store, purpose="worker schedule") as commands:
            return await ask(commands)

    return run_async(asked())


def _document(waiting: Waiting) -> dict[str, Any]:
    return {
        "command_id": waiting.command_id,
        "type": waiting.command_type,
        "domain": waiting.domain,
        "due_at": waiting.due_at,
        "received_at": waiting.received_at,
        "state": waiting.state(datetime.now(UTC)),
        "error": waiting.error,
    }
