"""``worker db stats``."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.filesize import decimal

from eventstore import EventStoreError
from eventstore.counted import counted
from eventstore.postgres import Measures, measure, survey
from worker.chosen_stores import chosen
from worker.cli.loop import run_async
from worker.cli.options import DomainOption, Json
from worker.cli.stores import document, in_turn
from worker.cli.terminal import print_json, table, tell
from worker.credentials import address_of
from worker.failures import naming, sentence
from worker.reading_store import first_that_answers
from worker.settings import Settings
from worker.stores import StoreSettings

__all__ = ["stats"]

_Row = Mapping[str, Any]


def stats(*, domain: DomainOption = None, json: Json = False) -> None:
    """Show the database's figures: sizes, rows, use of indexes, connections, lag, and slow statements.

    Reads what the role of DATABASE_URL may read of the primary, and the head of each replica. Where domains have
    databases of their own, each is shown, one after the other. Numbers of rows are estimates, except that of the
    events. Slow statements need the extension pg_stat_statements. Changes nothing.
    """
    stores = chosen(Settings.load(needs=("database_url",)), domain)
    documents = []
    for store in stores:
        with in_turn(store, stores, silent=json):
            found, replicas = run_async(_collect(store))
        documents.append(_document(found, replicas))
        if not json:
            _show(found, replicas)
            if store is not stores[-1]:
                tell("")
    if json:
        print_json(document(stores, documents))


async def _collect(store: StoreSettings) -> tuple[Measures, list[_Row]]:
    found = await first_that_answers(
        store, lambda url, writable: measure(url, schema=store.database_schema, writable=writable)
    )
    head = found.database["head"]
    return found, await asyncio.gather(*(_replica(store, url, head) for url in store.database_replica_urls))


async def _replica(store: StoreSettings, url: str, head: int) -> _Row:
    try:
        with naming(store.variable("database_replica_urls")):
            replica = (await survey(url, schema=store.database_schema)).head
    except EventStoreError as error:
        return {"replica": address_of(url), "head": None, "events_behind": None, "failure": sentence(error)}
    # It was read later, so it may show more events than the primary did.
    return {"replica": address_of(url), "head": replica, "events_behind": max(0, head - replica), "failure": None}


def _document(found: Measures, replicas: list[_Row]) -> dict[str, Any]:
    return {
        "database": found.database,
        "tables": found.tables,
        "indexes": found.indexes,
        "connections": found.connections,
        "standbys": found.standbys,
        "replicas": replicas,
        "statements": found.statements,
    }


def _show(found: Measures, replicas: list[_Row]) -> None:
    database = found.database
    facts = table("", "")
    facts.show_header = False
    archived = f", of which {database['archived']:,} are archived" if database["archived"] else ""
    facts.add_row("events", f"{database['head']:,}{archived}")
    facts.add_row("size", decimal(database["bytes"]))
    ratio = database["cache_hit_ratio"]
    facts.add_row("found in the cache", "-" if ratio is None else f"{ratio:.1%} of the blocks")
    facts.add_row(
        "server", f"PostgreSQL {database['server_version']}, at most {database['max_connections']} connections"
    )
    facts.add_row("counted since", _moment(database["stats_reset"]) or "the statistics began")
    tell(facts)

    tables = table("table", "rows (estimated)", "size", "indexes", "dead rows", "vacuumed", "analyzed")
    for row in found.tables:
        sizes = (decimal(row["bytes"]), decimal(row["index_bytes"]), f"{row['dead_rows']:,}")
        times = (_moment(row["vacuumed_at"]) or "never", _moment(row["analyzed_at"]) or "never")
        name = row["name"] + (f" ({counted(row['partitions'], 'partition')})" if row["partitions"] else "")
        tables.add_row(name, f"{row['estimated_rows']:,}", *sizes, *times)
    tell("", tables)

    indexes = table("index", "table", "size", "scans", "entries read")
    for row in found.indexes:
        counts = (f"{row['scans']:,}", f"{row['entries_read']:,}")
        indexes.add_row(row["name"], row["table_name"], decimal(row["bytes"]), *counts)
    tell("", indexes)

    connections = table("connections of", "count", "active", "idle in transaction", "waiting for a lock")
    for row in found.connections:
        connections.add_row(row["name"], *(str(count) for count in list(row.values())[1:]))
    tell("", connections)
    _show_lag(found, replicas)
    _show_statements(found)
    if not database["sees_all"]:
        role = database["role"]
        tell()
        tell(
            f"{role} may not see what other roles' connections do, their statements, and how far standbys are: "
            f"GRANT pg_monitor TO {role} shows them.",
        )


def _show_lag(found: Measures, replicas: list[_Row]) -> None:
    if found.standbys:
        standbys = table("standby", "address", "state", "sync", "bytes behind", "seconds behind")
        for row in found.standbys:
            standbys.add_row(*("-" if value is None else str(value) for value in row.values()))
        tell("", standbys)
    if replicas:
        heads = table("replica", "events behind", "head")
        for row in replicas:
            behind = ("-", row["failure"]) if row["failure"] else (f"{row['events_behind']:,}", f"{row['head']:,}")
            heads.add_row(row["replica"], *behind)
        tell("", heads)


def _show_statements(found: Measures) -> None:
    if found.statements is None:
        tell()
        tell(
            "No statements: the extension pg_stat_statements is not installed, not loaded, or not readable by this "
            "role."
        )
        return
    statements = table("calls", "total", "mean", "longest", "statement")
    for row in found.statements:
        times = (f"{row['total_seconds']:.1f} s", f"{row['mean_seconds'] * 1000:.2f} ms")
        text = row["text"].strip()
        statements.add_row(f"{row['calls']:,}", *times, f"{row['max_seconds'] * 1000:.1f} ms", text[:160])
    tell("", statements)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
