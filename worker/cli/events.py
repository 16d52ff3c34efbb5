"""``worker events``."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
import typer

from eventstore import Consistency, Filter, RecordedEvent
from eventstore.postgres import PostgresEventStore
from worker.chosen_stores import chosen_one
from worker.cli.loop import run_async
from worker.cli.options import LogOption, Replica
from worker.cli.stores import check_replicas
from worker.event_filter import selected
from worker.failures import Mistake
from worker.printable import printable, printable_json
from worker.reading_store import reading_store
from worker.settings import Settings
from worker.stores import StoreSettings
from worker.suggestion import hints

__all__ = ["events", "fields"]

_LIMIT = 100
# The last events are kept in memory until the first of them is known; events after a number are not.
_MOST_LATEST = 10_000
_TYPE_WIDTH = 28
_encoder = msgspec.json.Encoder(decimal_format="number")


def events(
    *,
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only events of this type; repeat for more.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="KEY=VALUE",
            help='Only events whose payload has this field with this value, which is JSON: Edition=2, Edition="2". '
            "A value that is not JSON is a string. Repeat for more conditions.",
        ),
    ] = None,
    any_condition: Annotated[
        bool, typer.Option("--any", help="Match events that meet any of the conditions; by default all must hold.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only events from this time on, such as 2026-01-05T10:00 (UTC unless it names a zone) or 15m ago.",
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only events up to this time.")] = None,
    after: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, metavar="NUMBER", help="The first events after this number.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="COUNT", help=f"How many events to show; by default {_LIMIT}.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue with new events until Ctrl-C (exit status 130).")
    ] = False,
    domain: LogOption = None,
    metadata: Annotated[bool, typer.Option("--metadata", help="Show the metadata, too.")] = False,
    replica: Replica = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
) -> None:
    """Show events, oldest first: the last that match, or the first that match above a number.

    `worker events check` shows which of them the domains of WORKER_DOMAINS cannot read.

    With --follow and --after, everything above the number is shown.
    """
    if follow and after is not None and limit is not None:
        raise Mistake("--follow shows everything above the number of --after: leave out --limit.")
    if after is None and limit is not None and limit > _MOST_LATEST:
        raise Mistake(f"the last {_MOST_LATEST:,} events at most are shown; for more, read on from a number: --after.")
    boundary = selected(types or (), where or (), any_condition=any_condition, since=since, until=until)
    settings = Settings.load(needs=("database_url",))
    store = chosen_one(settings, domain)
    check_replicas(store, wanted=replica)
    show = partial(_line, metadata=metadata) if not json else _json_line
    shown = 0
    try:
        shown = run_async(_show(store, boundary, after, limit or _LIMIT, show, follow=follow, replica=replica))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has closed the pipe. Python would report an error when it flushes the rest at its
        # end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if shown == 0:
        for line in (*(["No event matches."] if not json else []), *_hints(settings, types or ())):
            print(line, file=sys.stderr)  # noqa: T201  beside what programs may read from standard output


def _hints(settings: Settings, types: Sequence[str]) -> list[str]:
    """Return hints about event types of no domain: the log may have older ones, and those of other programs."""
    if not types or not settings.worker_domains:
        return []
    from worker.served_domains import served_domains  # noqa: PLC0415  most calls need no domain

    domains = served_domains(settings)
    told = hints("event type", types, (name for domain in domains for name in domain.event_models))
    if any("," in name for name in types):
        told.append("--type names one event type: repeat it for each.")
    return told


async def _show(
    addresses: StoreSettings,
    boundary: Filter,
    after: int | None,
    limit: int,
    show: Callable[[RecordedEvent], str],
    *,
    follow: bool,
    replica: bool,
) -> int:
    count = 0
    opened = (
        PostgresEventStore.connect(
            addresses.database_url,
            driver=addresses.database_driver,
            schema=addresses.database_schema,
            replica_urls=addresses.database_replica_urls,
            pool_size=1,
            application_name="worker events",
        )
        if replica
        else reading_store(addresses, application_name="worker events")
    )
    async with opened as store:
        consistency = Consistency.EVENTUAL if replica else Consistency.STRONG
        async for event in _chosen(store, boundary, after, limit, consistency, follow=follow):
            sys.stdout.write(show(event) + "\n")
            if follow:
                sys.stdout.flush()
            count += 1
    return count


async def _chosen(
    store: PostgresEventStore,
    boundary: Filter,
    after: int | None,
    limit: int,
    consistency: Consistency,
    *,
    follow: bool,
) -> AsyncIterator[RecordedEvent]:
    if after is None:
        latest = await store.latest(boundary, limit=limit, consistency=consistency)
        for event in latest.events:
            yield event
        if not follow:
            return
        rest = store.subscribe(boundary, after=latest.position, consistency=consistency)
    elif follow:
        rest = store.subscribe(boundary.narrowed_above(after), consistency=consistency)
    else:
        rest = store.read(boundary.narrowed_above(after), batch_size=min(limit, 1000), consistency=consistency)
    count = 0
    async for event in rest:
        yield event
        count += 1
        if not follow and count == limit:
            return


def _json_line(event: RecordedEvent) -> str:
    return printable_json(_encoder.encode(_document(event)).decode())


def _document(event: RecordedEvent) -> dict[str, Any]:
    return {
        "sequence_number": event.sequence_number,
        "type": event.type,
        "occurred_at": event.occurred_at,
        "payload": event.payload,
        "metadata": event.metadata,
    }


def _line(event: RecordedEvent, *, metadata: bool) -> str:
    time = f"{event.occurred_at:%Y-%m-%d %H:%M:%S}.{event.occurred_at.microsecond // 1000:03}Z"
    line = f"{event.sequence_number:>8}  {time}  {event.type:<{_TYPE_WIDTH}}  {fields(event.payload)}"
    return printable(f"{line}  | {fields(event.metadata)}" if metadata else line)


def fields(document: dict[str, Any]) -> str:
    """Return an object's fields in one line, each value as JSON, so that a ``--where`` can be copied from it."""
    return " ".join(f"{name}={_encoder.encode(value).decode()}" for name, value in document.items())
