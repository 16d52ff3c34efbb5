"""``worker db archive`` and ``restore-archive``, beside a worker: who needs what is archived, and who does not."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventstore.postgres.administration.archiving.archived_row import ArchivedRow
from eventstore.postgres.administration.archiving.event_table import EventTable
from tests.e2e.conftest import Serving
from tests.e2e.program import Worker
from tests.support.archives import fill, owner_of
from tests.support.domains.guests import FORGOTTEN, KEY
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually


@pytest.fixture
async def guests(worker: Worker, partitioned_database: Database, serving: Serving) -> AsyncIterator[Worker]:
    """A log in partitions of 2 events, of 2, and of many; and a worker."""
    guests = worker.having(
        DATABASE_URL=partitioned_database.url,
        DATABASE_REPLICA_URLS="",
        DATABASE_ADMIN_URL=partitioned_database.admin_url,
        DATABASE_SCHEMA=partitioned_database.schema,
        WORKER_DOMAINS="tests.support.domains.guests:domain",
        WORKER_MASTER_KEYS=KEY,
    )
    async with serving(guests):
        yield guests


async def sent(worker: Worker, name: str, **body: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await worker("publish", name, json.dumps(body), "--wait", "--json")).document()
    return answer


async def is_accepted(worker: Worker, command: str) -> bool:
    return (await worker("status", command)).status == 0


def rows_of(path: Path) -> list[ArchivedRow]:
    return [row for rows in EventTable(path).rows() for row in rows if row.event_type == "GuestRegistered"]


async def test_who_needs_archived_events_is_told_and_goes_on_when_they_are_back(
    guests: Worker, partitioned_database: Database, tmp_path: Path
) -> None:
    first = await sent(guests, "Register", Guest="ada", Name="Ada Lovelace")
    await sent(guests, "Register", Guest="bob", Name="bob")
    await sent(guests, "Greet", Guest="ada")
    await sent(guests, "Register", Guest="cyn", Name="cyn")
    async with owner_of(partitioned_database) as admin:
        await fill(admin)
    # Of him a state is stored above what will be archived.
    await sent(guests, "Greet", Guest="bob")
    directory = tmp_path / "archive"
    command = ("db", "archive", "--before", "5", "--to", str(directory))
    assert (await guests(*command)).mistake().endswith("pass --yes, or --dry-run to see which.")
    for wrong, told in (("soon", "is neither the number of an event nor a date"), ("", "is neither")):
        assert told in (await guests("db", "archive", "--before", wrong, "--to", str(directory))).mistake()
    done = await guests(*command, "--yes")
    assert (done.status, done.complaint) == (0, "")
    assert done.output.startswith(f"Moved 4 events, 1 to 4, of 2 partitions to {directory}: keep the files")

    # The worker knows of her, up to a position that is archived.
    failed = await sent(guests, "Greet", Guest="ada")
    assert failed["outcome"] == "failed"
    assert failed["reason"].startswith(
        "history_archived: events 1 to 2 are archived, and this call may need some of them"
    )
    assert (await sent(guests, "Register", Guest="dan", Name="Dan"))["outcome"] == "accepted"
    assert "are archived" in (await guests("view", "guest", "ada")).mistake()
    assert (await guests("view", "guest", "bob")).document() == {"name": "bob", "greeted": 1}
    assert (await guests("view", "guest", "eve")).document()["greeted"] == 0
    assert (await guests("status", first["command_id"], "--json")).document()["events_archived"] is True
    assert (await guests("db", "stats", "--json")).document()["database"]["archived"] == 4
    assert f"events 1 to 4, in 2 ranges, were moved to {directory}" in (await guests("db", "check")).output
    assert "are archived" in (await guests("events", "check")).mistake()
    # What is archived cannot be read without the key either.
    assert (await guests("db", "forget", "Guest=ada", "--yes")).status == 0

    back = await guests("db", "restore-archive", str(directory))
    assert (back.status, back.output) == (0, "Restored 4 events, 1 to 4, of 2 partitions. The log is whole.\n")
    replayed = await guests("dead-letters", "replay", "--reason", "history_archived", "--yes")
    assert replayed.status == 0
    await eventually(partial(is_accepted, guests, failed["command_id"]), what="the replayed command to be decided")
    state = (await guests("view", "guest", "ada")).document()
    assert (state["name"], state["greeted"]) == (FORGOTTEN, 2)
    # What the domain copied into a field without a mark stays.
    marked = [row for path in sorted(directory.glob("*.parquet")) for row in rows_of(path)]
    assert len(marked) == 3
    assert "Ada Lovelace" not in str(marked)
