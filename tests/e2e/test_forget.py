"""``worker db forget``: a person's right to be forgotten, from the queue to what anybody can see."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.e2e.conftest import Serving
from tests.e2e.program import Ended, Worker
from tests.support.domains.guests import FORGOTTEN, KEY, OTHER_KEY
from tests.support.fixtures.databases import Database

FORGET = ("db", "forget", "Guest=ada")
NAME = "Ada Lovelace"


@pytest.fixture
def guests(worker: Worker) -> Worker:
    return worker.having(WORKER_DOMAINS="tests.support.domains.guests:domain", WORKER_MASTER_KEYS=KEY)


@pytest.fixture
async def working(guests: Worker, serving: Serving) -> AsyncIterator[Worker]:
    async with serving(guests, 2):
        yield guests


async def sent(worker: Worker, name: str, **body: str | int) -> dict[str, str]:
    ended = await worker("publish", name, json.dumps(body), "--wait", "--json")
    assert ended.status == 0, ended
    answer: dict[str, str] = ended.document()
    return answer


async def name_of(worker: Worker, guest: str) -> str:
    name: str = (await worker("view", "guest", guest)).document()["name"]
    return name


async def test_a_person_is_forgotten_while_workers_work(working: Worker, database: Database, tmp_path: Path) -> None:
    await sent(working, "Register", Guest="ada", Name=NAME)
    await sent(working, "Register", Guest="bob", Name="Bob")
    # Both processes have come to know her.
    for _ in range(8):
        await sent(working, "Greet", Guest="ada")
    assert await name_of(working, "ada") == NAME
    # Nothing is done that nobody has agreed to.
    assert (await working(*FORGET)).mistake().endswith("pass --yes, or --dry-run to see what would be done.")
    dry = await working(*FORGET, "--dry-run")
    assert dry.status == 0
    assert dry.output.startswith("The key of Guest=ada, made on ")
    assert dry.output.endswith(" would be deleted.\n")
    assert await name_of(working, "ada") == NAME
    done = await working(*FORGET, "--yes")
    assert (done.status, done.complaint) == (0, "")
    assert done.output.startswith("Forgot Guest=ada: its key and ")
    assert "are deleted, as event 11 records." in done.output
    # At once, and not only some seconds later: every look goes on from what was kept, and finds that she is forgotten.
    assert await name_of(working, "ada") == FORGOTTEN
    assert await name_of(working, "bob") == "Bob"
    for _ in range(8):
        await sent(working, "Greet", Guest="ada")
    await sent(working, "Count", AtLeast=2)
    events = (await working("events", "--json")).output
    words = [line["payload"]["Words"] for line in map(json.loads, events.splitlines()) if "Words" in line["payload"]]
    assert words == [f"Hello {NAME}"] * 8 + [f"Hello {FORGOTTEN}"] * 8
    assert await leaks(database, tmp_path, events.replace(f"Hello {NAME}", "")) == []
    again = await working(*FORGET, "--yes")
    assert (again.status, again.output) == (
        0,
        "Guest=ada has no key: it was forgotten, as event 11 records, and nothing was sealed since.\n",
    )
    # She comes again: what is told now is hers to tell.
    await sent(working, "Register", Guest="ada", Name="Ada again")
    assert await name_of(working, "ada") == "Ada again"
    found = (await working(*FORGET, "--yes", "--json")).document()
    assert (found["field"], found["subject"], found["forgotten_before"]) == ("Guest", "ada", 11)
    assert found["event"] == 22


async def leaks(database: Database, logs: Path, *texts: str) -> list[str]:
    """Where her name can still be found."""
    owner = await asyncpg.connect(database.admin_url)
    try:
        tables = {
            name: await owner.fetch(f"SELECT t::text AS row FROM eventstore.{name} t")  # noqa: S608  a name of ours
            for name in ("events", "receipts", "states", "subject_keys")
        }
    finally:
        await owner.close()
    found = [
        f"{name}: {row['row']}"
        for name, rows in tables.items()
        for row in rows
        # What the domain copied into a field without a mark stays.
        if (NAME in row["row"] and "GuestGreeted" not in row["row"]) or NAME.encode().hex() in row["row"]
    ]
    written = await asyncio.to_thread(_files, logs)
    return [*found, *(text for text in (*written, *texts) if NAME in text)]


def _files(folder: Path) -> list[str]:
    return [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]


def told(ended: Ended) -> tuple[int, str]:
    return ended.status, ended.output + ended.complaint


async def test_who_is_not_known_is_not_forgotten(guests: Worker, database: Database) -> None:
    assert told(await guests(*FORGET, "--yes")) == (1, "Guest=ada has no key: nothing was ever sealed for it.\n")
    assert (await guests("db", "forget", "ada")).mistake() == (
        "'ada' names no person: write a field of events and its value, such as ReaderID=ada."
    )
    assert (await guests("db", "forget", "guest=ada")).mistake() == (
        "no Sensitive field of the domains belongs to a person that 'guest' names; did you mean Guest? Known: Guest."
    )
    library = guests.having(WORKER_DOMAINS="handlers.library:domain")
    assert (
        (await library(*FORGET))
        .mistake()
        .endswith("belongs to a person that 'Guest' names: they have no Sensitive fields.")
    )
    assert (await guests.having(DATABASE_ADMIN_URL=database.url)(*FORGET)).status == 2


async def test_without_the_right_master_key_nothing_is_decided_or_shown(
    guests: Worker, serving: Serving, database: Database
) -> None:
    async with serving(guests):
        await sent(guests, "Register", Guest="ada", Name=NAME)
    none = guests.having(WORKER_MASTER_KEYS="")
    for command in (("run",), ("view", "guest", "ada")):
        assert (
            (await none(*command)).mistake().startswith("WORKER_MASTER_KEYS is not set, and the domain guests has ev")
        )
    assert (
        (await guests.having(WORKER_MASTER_KEYS="QWRh")("run")).mistake().startswith("WORKER_MASTER_KEYS: it must be")
    )
    other = guests.having(WORKER_MASTER_KEYS=OTHER_KEY)
    owner = await asyncpg.connect(database.admin_url)
    await owner.execute("TRUNCATE eventstore.states")
    await owner.close()
    shown = await other("view", "guest", "ada")
    assert shown.status != 0
    assert "the keys of subjects are wrapped by the master key" in shown.complaint
    both = guests.having(WORKER_MASTER_KEYS=f"{OTHER_KEY},{KEY}")
    assert await name_of(both, "ada") == NAME


async def test_a_master_key_may_lie_in_a_file(guests: Worker, tmp_path: Path) -> None:
    file = tmp_path / "key"
    await asyncio.to_thread(file.write_text, f"{KEY}\n")
    there = guests.having(WORKER_MASTER_KEYS="", WORKER_MASTER_KEYS_FILE=str(file))
    assert (await there("view", "guest", "ada")).document()["name"] == ""
    listed = await there("config", "--json")
    assert KEY not in listed.output
    (row,) = [row for row in listed.document() if row["name"] == "WORKER_MASTER_KEYS"]
    assert (row["value"], row["origin"]) == ("***", f"file {file}")
