"""``make example`` as a process: what it opens, and that nothing of it is left."""

import asyncio
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import Process
from pathlib import Path

import httpx

from tests.e2e.program import ROOT, Ended, Worker, ended, kept, started
from tests.support.fixtures.waiting import eventually
from tests.support.processes import left_below

EXAMPLE = (sys.executable, "-m", "deploy.local.example", "--port", "0")


async def said(process: Process, words: str) -> str:
    """Wait until it has said something, and return what follows on that line."""
    assert process.stdout is not None
    async with asyncio.timeout(240):
        while line := (await process.stdout.readline()).decode():
            if found := re.search(rf"{words}(\S+)", line):
                return found[1]
    raise AssertionError(await ended(process))


async def test_the_example_shows_its_books_until_it_is_told_to_stop(worker: Worker, tmp_path: Path) -> None:
    environment = worker.environment | {"TMPDIR": str(tmp_path)}
    async with started(*EXAMPLE, environment=environment) as process:
        async with httpx.AsyncClient(base_url=await said(process, "The library is open: "), timeout=60) as client:
            page = await client.get("/", params={"reader": "emmy"})
        assert page.status_code == httpx.codes.OK
        assert "Moby-Dick" in page.text
        assert "Lent to Ada Lovelace" in page.text
        assert "to Emmy Noether</button>" in page.text
        process.send_signal(signal.SIGINT)
        end = await ended(process)
    assert (end.status, end.complaint) == (0, ""), end
    assert left_below(tmp_path) == []


async def test_the_example_ends_with_whoever_has_started_it(worker: Worker, tmp_path: Path) -> None:
    environment = worker.environment | {"TMPDIR": str(tmp_path)}
    shell = ("bash", "-c", f"{' '.join(EXAMPLE)}; true")
    async with started(*shell, environment=environment) as process:
        await said(process, "Servers: ")
        process.kill()  # a make whose terminal is closed by force passes nothing on

        async def is_gone() -> bool:
            return left_below(tmp_path) == []

        try:
            await eventually(is_gone, what="the example to end")
        finally:
            assert left_below(tmp_path) == []  # a failure names what is left


async def test_the_program_itself_tells_in_a_sentence_why_it_cannot_start() -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "examples" / "library_web")])
    nobody = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "AMQP_URL": "amqp://127.0.0.1:1/"}

    async def ends(*program: str, **given: str) -> Ended:
        environment = kept() | {"PYTHONPATH": path, "LIBRARY_WEB_PORT": "0"} | given
        async with started(sys.executable, "-m", *program, environment=environment) as process:
            return await ended(process)

    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        ends_of = await asyncio.gather(
            ends("library_web"),
            ends("library_web", **nobody),
            ends("library_web", **nobody, LIBRARY_WEB_PORT=taken),
            ends("deploy.local.example", "--port", taken),
        )
    for end, told in zip(
        ends_of,
        (
            "library_web: set DATABASE_URL and AMQP_URL",
            "library_web: RabbitMQ at",
            f"library_web: nothing can listen at 127.0.0.1:{taken}",
            f"example: nothing can listen at 127.0.0.1:{taken}",
        ),
        strict=True,
    ):
        assert (end.status, end.output) == (2, ""), end
        assert end.complaint.startswith(told)
        assert end.complaint.count("\n") == 1
