"""Workers that are told to stop while they start, and single workers that are watched over."""

import asyncio
import os
import re
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.e2e.program import Worker, ended, said


@dataclass
class SilentServer:
    """A server that takes connections and never says anything.

    Attributes:
        port: Where it listens, on the loopback address.
        called: Set when somebody has connected.
    """

    port: int = 0
    called: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def silent() -> AsyncIterator[SilentServer]:
    server = SilentServer()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.called.set()
        while await reader.read(4096):
            pass
        writer.close()

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


@pytest.fixture
def worker(worker: Worker) -> Worker:
    """Python's own start is part of what is tested here."""
    return Worker(worker.environment, fresh=True)


@pytest.mark.parametrize("processes", [(), ("--processes", "2")])
@pytest.mark.parametrize("variable", ["DATABASE_URL", "AMQP_URL"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_worker_that_waits_for_a_silent_server_stops_when_told(
    worker: Worker, silent: SilentServer, processes: tuple[str, ...], variable: str, number: signal.Signals
) -> None:
    address = re.sub(r"@[^/]+/", f"@127.0.0.1:{silent.port}/", worker.environment[variable])
    async with worker.having(**{variable: address}).started("run", *processes) as process:
        await asyncio.wait_for(silent.called.wait(), 60)
        process.send_signal(number)
        end = await ended(process)
    assert (end.status, end.output) == (0, "")
    assert '"stopped before it had started"' in end.complaint
    assert "Traceback" not in end.complaint
    if processes:
        assert '"2 of 2 worker processes drained completely"' in end.complaint


async def test_a_single_process_is_started_again_when_it_is_watched_over(worker: Worker) -> None:
    async with worker.started("run", "--processes", "1") as process:
        first = await _consuming(process)
        os.kill(first, signal.SIGKILL)
        second = await _consuming(process)
        assert second not in {first, process.pid}
        process.terminate()
        end = await ended(process)
    assert end.status == 0
    assert '"1 of 1 worker process drained completely"' in end.complaint


async def test_without_the_option_one_process_serves_and_is_not_started_again(worker: Worker) -> None:
    async with worker.started("run") as process:
        await said(process, b'"consuming library.commands"')
        process.kill()
        assert (await ended(process)).status == -signal.SIGKILL


async def _consuming(process: Process) -> int:
    """Wait until the first worker process consumes, and return its id."""
    assert process.stderr is not None
    async with asyncio.timeout(60):
        async for line in process.stderr:
            if found := re.search(rb"worker 1 \(process (\d+)\): consuming; ", line):
                return int(found[1])
    raise AssertionError("it ended without having consumed")
