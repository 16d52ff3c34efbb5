"""``worker events``: which events it shows, in which order, and how it goes on."""

import asyncio
import json
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from eventstore import Event
from eventstore.postgres import PostgresEventStore
from tests.e2e.program import Ended, Worker
from tests.support.fixtures.administration import on
from tests.support.fixtures.databases import Database

_SECONDS = 60.0


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresEventStore]:
    """The store that is looked at."""
    async with PostgresEventStore.connect(database.url, pool_size=1) as opened:
        yield opened


def counted(number: int, **payload: object) -> Event:
    when = datetime(2026, 1, 5, number // 60, number % 60, tzinfo=UTC)
    return Event(
        type="Even" if number % 2 == 0 else "Odd",
        payload={"Number": number, "Text": str(number), **payload},
        metadata={"command_id": f"c{number}"},
        occurred_at=when,
    )


def shown(ended: Ended) -> list[int]:
    """The numbers of the events that were printed for people."""
    assert (ended.status, ended.complaint) == (0, ""), ended
    return [int(line.split()[0]) for line in ended.output.splitlines()]


async def test_the_last_events_are_shown_with_what_they_say(worker: Worker, store: PostgresEventStore) -> None:
    await store.append([counted(number) for number in range(1, 251)])
    last, few, document = await asyncio.gather(
        worker("events"), worker("events", "--limit", "2", "--metadata"), worker("events", "--limit", "1", "--json")
    )
    assert shown(last) == list(range(151, 251))
    assert few.output.splitlines() == [
        '     249  2026-01-05 04:09:00.000Z  Odd                           Text="249" Number=249  | command_id="c249"',
        '     250  2026-01-05 04:10:00.000Z  Even                          Text="250" Number=250  | command_id="c250"',
    ]
    assert json.loads(document.output) == {
        "sequence_number": 250,
        "type": "Even",
        "occurred_at": "2026-01-05T04:10:00Z",
        "payload": {"Number": 250, "Text": "250"},
        "metadata": {"command_id": "c250"},
    }


async def test_what_is_asked_for_is_shown(worker: Worker, store: PostgresEventStore) -> None:
    await store.append([counted(number) for number in range(1, 11)])
    asked = {
        "--type Even": [2, 4, 6, 8, 10],
        "--type Even --type Odd --limit 3": [8, 9, 10],
        "--where Number=3": [3],
        '--where Number="3"': [],
        "--where Number=3 --where Text=4": [],
        "--where Number=3 --where Text=4x --where Text=5x --any": [3],
        "--where Number=3 --type Even": [],
        "--since 2026-01-05T00:04 --until 2026-01-05T00:06": [4, 5, 6],
        "--after 3 --limit 2": [4, 5],
        "--after 3 --type Even": [4, 6, 8, 10],
        "--after 10": [],
        "--after 12 --json": [],
    }
    ended = await asyncio.gather(*(worker("events", *words.split()) for words in asked))
    for words, numbers, each in zip(asked, asked.values(), ended, strict=True):
        if numbers:
            assert shown(each) == numbers, words
        else:
            told = "" if "--json" in words else "No event matches.\n"
            if "--type Even" in words:
                # The log has such events; the domain does not know them.
                told += "No domain of WORKER_DOMAINS has the event type Even.\n"
            assert (each.status, each.output, each.complaint) == (0, "", told), words


async def followed(process: Process) -> int:
    """The number of the next event that is printed."""
    assert process.stdout is not None
    async with asyncio.timeout(_SECONDS):
        return int(json.loads(await process.stdout.readline())["sequence_number"])


@pytest.mark.parametrize(("words", "first"), [("--limit 2", 2), ("--after 1", 2), ("--after 5", 6)])
async def test_new_events_are_followed_until_it_is_interrupted(
    worker: Worker, store: PostgresEventStore, words: str, first: int
) -> None:
    await store.append([counted(number) for number in (1, 2, 3)])
    async with worker.started("events", "--follow", "--json", *words.split()) as process:
        before = [await followed(process) for _ in range(first, 4)]
        for number in range(4, 8):
            await store.append([counted(number)])
        assert [*before, *[await followed(process) for _ in range(max(first, 4), 8)]] == list(range(first, 8))
        process.send_signal(signal.SIGINT)
        _, complaint = await process.communicate()
    assert process.returncode == 130
    assert complaint.strip() == b""


async def test_a_replica_is_read_if_it_is_asked_for(
    worker: Worker, store: PostgresEventStore, database: Database, template_database: str
) -> None:
    await store.append([counted(1)])
    # Another database, without events: that is how to see who answers.
    other = worker.having(DATABASE_REPLICA_URLS=on(database.replica_urls[0], template_database))
    assert shown(await other("events")) == [1]
    assert (await other("events", "--replica", "--json")).output == ""
    mistake = (await worker.having(DATABASE_REPLICA_URLS="")("events", "--replica")).mistake()
    assert mistake.startswith("DATABASE_REPLICA_URLS is not set; give it the form ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--follow --after 1 --limit 5", "--follow shows everything above the number of --after: leave out --limit."),
        ("--limit 10001", "the last 10,000 events at most are shown; for more, read on from a number: --after."),
    ],
)
async def test_what_cannot_be_is_told(worker: Worker, words: str, sentence: str) -> None:
    assert (await worker("events", *words.split())).mistake() == sentence


@pytest.mark.parametrize("words", ["--limit 5000", "--limit 5000 --json", "--limit 5000 --after 0"])
async def test_a_reader_that_has_seen_enough_ends_it_quietly(
    worker: Worker, store: PostgresEventStore, words: str
) -> None:
    await store.append([counted(1, Long="x" * 500) for _ in range(5000)])
    async with worker.started("events", *words.split()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        await process.stdout.readline()
        process.stdout._transport.close()  # type: ignore[attr-defined]  # as `head` does when it ends
        async with asyncio.timeout(_SECONDS):
            assert await process.stderr.read() == b""
            assert await process.wait() == 0
