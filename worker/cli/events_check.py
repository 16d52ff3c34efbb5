"""``worker events check``."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer

from eventstore import Filter, StoreUnavailable
from eventstore.counted import counted
from eventstore.postgres import PostgresEventStore
from handlers.checks.readability import Readability, TypeReadability
from handlers.domain import Domain
from worker.chosen_stores import chosen, chosen_one
from worker.cli.loop import run_async
from worker.cli.options import Json, LogOption
from worker.cli.terminal import print_json, progress_bar, table, tell
from worker.reading_store import reading_store
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.stores import StoreSettings
from worker.suggestion import hints

__all__ = ["check"]

_NAME = "worker events check"
_BATCH = 5000
# How often progress is shown, in events.
_STEP = 1000


def check(
    *,
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only events of this type; repeat for more.")
    ] = None,
    after: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, metavar="NUMBER", help="Only events above this number.")
    ] = 0,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE",
            help="Accept this type although no domain lists it, such as another program's; repeat for more.",
        ),
    ] = None,
    domain: LogOption = None,
    primary: Annotated[
        bool, typer.Option("--primary", help="Read from the primary, even if there are replicas.")
    ] = False,
    json: Json = False,
) -> None:
    """Show which events the domains of WORKER_DOMAINS cannot read. Exit status 1 when there are any.

    For use before a release. Every event goes through its upcasters and its model, as when a command is decided. The
    command finds events that these reject, types that no domain lists, and events that a filter misses because their
    model fills in the field that it matches. For each type and version it shows the first such event, with field and
    reason. Reads from a replica if one answers.
    """
    settings = Settings.load(needs=("database_url",))
    store = chosen_one(settings, domain)
    # All domains whose events are in this log; if none has a database of its own, all domains.
    sharing = next((each.domains for each in chosen(settings, None) if domain in each.domains), store.domains)
    shared = sharing if settings.domain_databases else ()
    domains = [each for each in served_domains(settings) if not shared or each.name in shared]
    found = Readability(domains, ignore or ())
    asked = Filter.matching().any_event_type_of(*types) if types else Filter.matching_any_event()
    run_async(_read(_opened(store, primary=primary), asked.narrowed_above(after), found, after))
    rows = list(found)
    for hint in hints("event type", types or (), {row.type or "" for row in rows} | _known(domains)):
        print(hint, file=sys.stderr)  # noqa: T201  beside what programs may read from standard output
    bad = sum(row.unreadable + row.missed for row in rows)
    if json:
        print_json(_document(rows))
    else:
        _show(rows, bad)
    if bad:
        raise typer.Exit(1)


def _known(domains: Iterable[Domain]) -> set[str]:
    return {name for domain in domains for name in domain.event_models}


@asynccontextmanager
async def _opened(addresses: StoreSettings, *, primary: bool) -> AsyncIterator[PostgresEventStore]:
    """Open the first replica that answers, or otherwise what ``reading_store`` opens."""
    async with AsyncExitStack() as stack:
        for url in () if primary else addresses.database_replica_urls:
            opened = PostgresEventStore.connect(
                url,
                driver=addresses.database_driver,
                schema=addresses.database_schema,
                pool_size=1,
                application_name=_NAME,
                writable=False,
            )
            try:
                store = await stack.enter_async_context(opened)
            except StoreUnavailable:
                continue
            yield store
            return
        yield await stack.enter_async_context(reading_store(addresses, application_name=_NAME))


async def _read(
    opened: AbstractAsyncContextManager[PostgresEventStore], asked: Filter, found: Readability, after: int
) -> None:
    async with opened as store:
        head = (await store.position()).number
        count, shown = 0, after
        with progress_bar("reading", max(0, head - after)) as advance:
            async for event in store.read(asked, batch_size=_BATCH):
                found.take(event)
                count += 1
                if count % _STEP == 0:
                    advance(event.sequence_number - shown)
                    shown = event.sequence_number
                    await asyncio.sleep(0)  # a long read must not delay Ctrl-C


def _document(rows: Sequence[TypeReadability]) -> dict[str, Any]:
    return {
        "events": sum(row.events for row in rows),
        "unreadable": sum(row.unreadable for row in rows),
        "missed": sum(row.missed for row in rows),
        "types": [asdict(row) for row in rows],
    }


def _show(rows: Sequence[TypeReadability], bad: int) -> None:
    if not rows:
        tell("No event matches.")
        return
    listing = table("type", "version", "domain", "events", "unreadable", "missed", "first", "field", "reason")
    for row in rows:
        listing.add_row(
            row.type or "(further types)",
            "-" if row.version is None else str(row.version),
            row.domain or "-",
            f"{row.events:,}",
            f"{row.unreadable:,}",
            f"{row.missed:,}",
            "" if row.first is None else str(row.first),
            row.field or "",
            row.reason or "",
        )
    total = sum(row.events for row in rows)
    tell(listing)
    tell()
    if bad:
        tell(f"{bad:,} of {counted(total, 'event')} cannot be read, or would be missed by a filter.")
    else:
        tell(f"{counted(total, 'event')} can be read.")
