"""Ctrl-C, as a terminal sends it."""

import asyncio
import os
import pty
import re
import signal
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.e2e.program import Worker, ended, said
from tests.support.amqp_client import AmqpClient
from tests.support.backlogs import backlog_if_told
from tests.support.fixtures.waiting import eventually
from tests.support.fork_server import Call, started
from worker.topology import Topology

LIBRARY = Topology("library")


@pytest.fixture
def worker(worker: Worker) -> Worker:
    """Python's own start is part of what is tested here."""
    return Worker(worker.environment, fresh=True)


@pytest.mark.usefixtures("queues")
async def test_a_publisher_that_waits_stops_at_once_and_without_a_traceback(worker: Worker) -> None:
    url = worker.environment["AMQP_URL"]

    async def is_waiting() -> bool:
        found = await backlog_if_told(url, LIBRARY)
        return found is not None and found.waiting == 1

    async with worker.started("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}', "--wait") as process:
        await eventually(is_waiting, what="the command to lie in its queue")
        process.send_signal(signal.SIGINT)
        end = await ended(process, seconds=30)
    assert (end.status, end.output) == (130, "")
    told = re.fullmatch(
        r"Interrupted\. The command may have been stored nevertheless; to send it again without a second effect, pass "
        r"--id ([0-9a-f-]{36})\.\n",
        end.complaint,
    )
    assert told is not None, end
    async with AmqpClient.open(url) as client:
        assert (await client.take(LIBRARY.queue)).message_id == told[1]


async def test_a_worker_drains_and_is_done(worker: Worker) -> None:
    async with worker.started("run") as process:
        await said(process, b'"consuming library.commands"')
        process.send_signal(signal.SIGINT)
        end = await ended(process)
    assert (end.status, end.output) == (0, "")
    assert '"drained: no delivery came in"' in end.complaint
    assert "Traceback" not in end.complaint


@pytest.mark.usefixtures("queues")
async def test_an_answer_that_does_not_come_in_time_is_told(worker: Worker) -> None:
    # Long enough to connect and to have it stored, also on a busy machine.
    end = await worker("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}', "--wait", "--timeout", "3")
    assert end.status == 1
    identity, _, outcome = end.output.partition("  ")
    assert outcome == "no answer: it may still be processed\n"
    assert end.complaint == (
        f"`worker check` shows whether a worker takes what waits; `worker status {identity}` shows an outcome that "
        "comes later.\n"
    )


@pytest.mark.usefixtures("queues")
async def test_a_person_is_told_what_is_waited_for(worker: Worker) -> None:
    keyboard, terminal = pty.openpty()
    try:
        arguments = ("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}', "--wait")
        process = await started(Call(arguments=arguments, environment=worker.environment), stdout=PIPE, stderr=terminal)
    finally:
        os.close(terminal)
    with os.fdopen(keyboard, "rb") as shown:
        told = await asyncio.to_thread(shown.readline)
        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()
    assert told.decode() == "Waiting for the answer, for 30 s at most. Ctrl-C ends the wait; the command stays.\r\n"
    assert (process.returncode, output) == (130, b"")


@pytest.mark.usefixtures("queues")
async def test_a_file_that_is_interrupted_says_how_far_it_came(worker: Worker, tmp_path: Path) -> None:
    url, file = worker.environment["AMQP_URL"], tmp_path / "commands.ndjson"
    file.write_text('{"type": "RegisterReader", "body": {"ReaderID": "r", "Name": "R"}}\n' * 2, encoding="utf-8")

    async def are_waiting() -> bool:
        found = await backlog_if_told(url, LIBRARY)
        return found is not None and found.waiting == 2

    async with worker.started("publish", "--file", str(file), "--wait") as process:
        await eventually(are_waiting, what="the commands to lie in their queue")
        process.send_signal(signal.SIGINT)
        end = await ended(process, seconds=30)
    assert (end.status, end.output) == (130, "")
    assert end.complaint == (
        "Interrupted. 0 of 2 commands were answered before; more may have been stored. Publishing again repeats those "
        "without an id.\n"
    )


async def test_a_mistake_is_told_once_however_many_processes_there_are(worker: Worker) -> None:
    nowhere = worker.environment["DATABASE_URL"].rpartition("@")[0] + "@127.0.0.1:9/events"
    end = await worker.having(DATABASE_URL=nowhere)("run", "--processes", "3")
    assert end.mistake().endswith("; start the database or correct DATABASE_URL.")
