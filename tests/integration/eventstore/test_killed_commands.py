"""``worker db prune`` and ``worker db forget``, ended from outside in the middle: run again, they complete."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from eventstore import START, StateKey, StoredState, Subject, SubjectKey
from eventstore.postgres import PostgresEventStore, find_subject, receipts_since
from eventstore.postgres.connections.translation import DRIVER_ERRORS
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import ANY
from tests.integration.eventstore.staging import connected, terminate
from tests.support.fixtures.waiting import eventually

# Old receipts of several batches of pages, and some that are young.
_OLD, _YOUNG = 120_000, 10
_LOAD = """
INSERT INTO eventstore.receipts
SELECT gen_random_uuid(), '', 'unchanged', NULL, '{}', NULL, NULL, 0, 0, now() - make_interval(days => $2)
FROM generate_series(1, $1) AS n
"""
_IN_THE_SECOND_BATCH = "SELECT FROM eventstore.receipts WHERE ctid = '(600, 1)' FOR UPDATE"
_HEAD = "SELECT FROM eventstore.store FOR UPDATE"
_COMMANDS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'worker db %'"
)
_WAITING = f"{_COMMANDS} AND wait_event_type = 'Lock'"
_PRUNE = ("prune", "--older-than", "90d", "--yes", "--json")
_FORGET = ("forget", "ReaderID=ada", "--yes", "--json")
_ADA = Subject("ReaderID", "ada")
_STATE = StoredState(
    key=StateKey(domain="d", view="v", version=1, key="[]", filter_digest=b""),
    position=START,
    state=b"{}",
    events=0,
    sensitive=True,
)

End = Callable[[Replicated, Process], Awaitable[None]]


@asynccontextmanager
async def started(replicated: Replicated, arguments: tuple[str, ...]) -> AsyncIterator[Process]:
    """Start a command of ``worker db``, and have it gone at the end of the ``async with``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "db", *arguments),
        env={**os.environ, "DATABASE_ADMIN_URL": replicated.admin_url},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def again(replicated: Replicated, arguments: tuple[str, ...]) -> Any:
    """Run the command to its end, and return what it prints."""
    async with started(replicated, arguments) as process:
        output, complaint = await process.communicate()
    assert (process.returncode, complaint) == (0, b""), complaint
    return json.loads(output)


async def kill(_: Replicated, process: Process) -> None:
    process.kill()


async def end_session(replicated: Replicated, _: Process) -> None:
    async with connected(replicated.admin_url) as admin:
        await terminate(admin, await admin.fetchval(_WAITING))


async def stop_server(replicated: Replicated, _: Process) -> None:
    await asyncio.to_thread(replicated.primary.stop)


async def stop_server_immediately(replicated: Replicated, _: Process) -> None:
    os.kill(replicated.primary.pid, signal.SIGQUIT)


async def crash_server(replicated: Replicated, _: Process) -> None:
    await asyncio.to_thread(replicated.primary.kill)


ENDS = (kill, end_session, stop_server, stop_server_immediately, crash_server)


async def ended_in_the_middle(replicated: Replicated, arguments: tuple[str, ...], lock: str, end: End) -> None:
    """Run the command until it waits for a lock, end it in the given way, and see what it says."""
    async with started(replicated, arguments) as process:
        with suppress(*DRIVER_ERRORS):  # the connection that holds the lock may end with the server
            async with connected(replicated.admin_url) as other, other.transaction():
                await other.execute(lock)
                await eventually(partial(_waits, replicated), what="the command to wait in the middle")
                await end(replicated, process)
                output, complaint = await process.communicate()
    if end is kill:
        assert process.returncode == -signal.SIGKILL
    else:
        assert (process.returncode, output) == (2, b""), (output, complaint)
        assert complaint.startswith(b"worker: the connection to PostgreSQL was lost: "), complaint
        assert complaint.endswith(b".\n"), complaint
        assert complaint.count(b"\n") == 1, complaint
    await asyncio.to_thread(replicated.primary.restart)


async def _waits(replicated: Replicated) -> bool:
    async with connected(replicated.admin_url) as admin:
        return len(await admin.fetch(_WAITING)) == 1


@pytest.mark.parametrize("end", ENDS)
async def test_a_pruning_that_is_ended_is_completed(replicated: Replicated, end: End) -> None:
    async with connected(replicated.admin_url) as admin:
        await admin.execute(_LOAD, _YOUNG, 1)
        await admin.execute(_LOAD, _OLD, 100)
    await ended_in_the_middle(replicated, _PRUNE, _IN_THE_SECOND_BATCH, end)
    # Who looks for a receipt knows that some are gone.
    assert await receipts_since(replicated.url) is not None
    done = await again(replicated, _PRUNE)
    assert _YOUNG < done["total"] < _OLD, "the first batch stays deleted, and not all are"
    assert done["deleted"] == done["receipts"] == done["total"] - _YOUNG
    assert (await again(replicated, _PRUNE))["total"] == _YOUNG


@pytest.mark.parametrize("end", ENDS)
async def test_a_forgetting_that_is_ended_is_done_as_a_whole_or_not_at_all(replicated: Replicated, end: End) -> None:
    async with PostgresEventStore.connect(replicated.url) as store:
        await store.make_subject_keys([SubjectKey(id=uuid4(), subject=_ADA, wrapped=b"wrapped")])
        await store.store_state(_STATE)
    await ended_in_the_middle(replicated, _FORGET, _HEAD, end)
    found = await find_subject(replicated.admin_url, _ADA)
    # What was sent to a server is done there, although its client is gone.
    assert (found.made_at is None, found.states, found.before) in {(False, 1, None), (True, 0, 1)}
    if end is not kill:
        assert found.before is None
    done = await again(replicated, _FORGET)
    assert (done["event"], done["forgotten_before"]) == ((1, None) if found.before is None else (None, 1))
    async with PostgresEventStore.connect(replicated.url) as store:
        assert len((await store.query(ANY)).events) == 1
    after = await find_subject(replicated.admin_url, _ADA)
    assert (after.made_at, after.states, after.before) == (None, 0, 1)
