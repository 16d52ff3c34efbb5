"""Ctrl-C, as a terminal sends it."""

import signal

import pytest

from tests.e2e.program import Worker, ended, said
from tests.support.backlogs import backlog_if_told
from tests.support.fixtures.waiting import eventually
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
    assert (end.status, end.output, end.complaint) == (130, "", "")


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
    assert end.output.endswith("  no answer: it may still be processed\n")


async def test_a_mistake_is_told_once_however_many_processes_there_are(worker: Worker) -> None:
    nowhere = worker.environment["DATABASE_URL"].rpartition("@")[0] + "@127.0.0.1:9/events"
    end = await worker.having(DATABASE_URL=nowhere)("run", "--processes", "3")
    assert end.mistake().endswith("; start the database or correct DATABASE_URL.")
