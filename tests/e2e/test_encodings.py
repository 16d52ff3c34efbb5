"""Places whose encoding is not UTF-8: packaged files are read all the same, and what cannot be shown is written out."""

import json

from eventstore import Event
from eventstore.postgres import PostgresEventStore
from tests.e2e.program import Worker
from tests.support.fixtures.databases import Database

# Python neither takes UTF-8 for the locale's encoding by itself, nor asks the system for another locale.
POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NAME = "tz\u00e9 \u20ac \U0001f600"


async def test_a_command_works_in_an_ascii_locale(worker: Worker) -> None:
    end = await worker.having(**POSIX)("db", "migrate", "--dry-run")
    assert (end.status, end.complaint) == (0, "")
    assert "there is nothing to apply" in end.output
    assert (await worker.having(**POSIX)("--help")).status == 0


async def test_what_a_terminal_cannot_show_is_written_out(worker: Worker, database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([Event(type="ReaderRegistered", payload={"ReaderID": "r1", "Name": NAME})])
    narrow = worker.having(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    shown = await narrow("events", "--where", "ReaderID=r1")
    assert (shown.status, shown.complaint) == (0, "")
    assert r"tz\u00e9 \u20ac \ud83d\ude00" in shown.output
    told = await narrow("events", "--where", "ReaderID=r1", "--json")
    assert json.loads(told.output)["payload"]["Name"] == NAME
    wrong = await narrow.having(WORKER_DOMAINS=NAME)("check")
    assert wrong.status == 2
    assert r"\u20ac" in wrong.output
