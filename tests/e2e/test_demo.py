"""The demo as a process: it does what it says, ends with the right status, and leaves nothing."""

import asyncio
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from handlers.library.scenarios.mixed import Mixed
from tests.e2e.program import Ended, Worker, ended, kept, started
from tests.e2e.tampering import tampered
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management
from tests.support.processes import left_below

DEMO = (sys.executable, "-m", "deploy.local.demo")
TAMPERED = tampered("from deploy.local import demo", "demo.app()")


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the test's own that state folders are made in; not below pytest's, which servers may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="demo-test-", dir="/var/tmp"))
    folder.chmod(0o777)
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


async def _printed(process: Process, words: bytes) -> None:
    """Wait until a program has printed a line with these words."""
    assert process.stdout is not None
    async with asyncio.timeout(240):
        while words not in (line := await process.stdout.readline()):
            assert line, await ended(process)


async def run(worker: Worker, *program: str) -> Ended:
    async with started(*program, environment=worker.environment) as process:
        return await ended(process)


async def test_a_demo_shows_what_happened_and_calls_it_clean(worker: Worker, database: Database) -> None:
    end = await run(worker, *DEMO, "--commands", "300", "--processes", "2")
    assert (end.status, end.complaint) == (0, ""), end
    outcomes = re.findall(r"^(accepted|rejected|unchanged) +([\d,]+) +[\d.]+%", end.output, re.MULTILINE)
    assert sum(int(count) for _, count in outcomes) == 300
    assert {kind for kind, _ in outcomes} == {"accepted", "rejected", "unchanged"}
    assert re.search(r"^throughput +\d+ commands/s over [\d.]+ s", end.output, re.MULTILINE)
    assert re.search(r"^latency, sent to answered +p50 .*, p95 .*, p99 .*, max ", end.output, re.MULTILINE)
    assert re.search(r"^conflicts and retries +(none|\d+ conflicts?: )", end.output, re.MULTILINE)
    assert re.search(r"^reads +[\d,]+, [\d.]+% served by the replica", end.output, re.MULTILINE)
    # The set-up and the load; every one of them on record, and nothing else.
    made = Mixed().workload(random.Random(1), 300)  # noqa: S311  a workload, not a secret
    commands = len([*made.setup, *made.load])
    verdict = re.search(
        r"verdict: clean - (\d+) events .* (\d+) commands, one receipt each", end.output.replace("\n", "")
    )
    assert verdict is not None, end.output
    assert int(verdict[2]) == commands
    connection = await asyncpg.connect(database.admin_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM eventstore.events") == int(verdict[1])
        assert await connection.fetchval("SELECT count(*) FROM eventstore.receipts") == commands
    finally:
        await connection.close()
    tree = end.output[end.output.index("One command's trace, ") :]
    for span in (
        "publish commands:library ",
        "└── process commands:library",
        "attempt ",
        "query ",
        "decide ",
        "append ",
    ):
        assert span in tree


async def test_a_tampered_log_is_found_out(worker: Worker) -> None:
    end = await run(worker, sys.executable, "-c", TAMPERED, "--commands", "100", "--processes", "1")
    assert (end.status, end.complaint) == (1, ""), end
    assert re.search(r"^verdict: \d+ violations$", end.output, re.MULTILINE)
    assert "verdict: clean" not in end.output
    assert "mallory" in end.output


async def test_a_used_database_is_refused(served: Worker) -> None:
    used = await served("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}', "--wait")
    assert used.status == 0
    end = await run(served, *DEMO)
    assert (end.status, end.output.count("\n")) == (2, 1)
    assert end.complaint == (
        "demo: The database named by DATABASE_URL holds events already (ReaderRegistered is the first): "
        "the demo judges a whole log, so give it an empty database.\n"
    )


async def test_half_named_servers_are_refused() -> None:
    async with started(*DEMO, environment=kept() | {"DATABASE_URL": "postgresql://db/there"}) as process:
        end = await ended(process)
    assert (end.status, end.output) == (2, "")
    assert end.complaint.startswith(
        "demo: Some servers are named by DATABASE_URL, but DATABASE_ADMIN_URL and AMQP_URL is not set: "
    )


async def test_a_broker_that_goes_away_ends_the_demo_with_a_sentence(worker: Worker, management: Management) -> None:
    path = f"/api/vhosts/{urlsplit(worker.environment['AMQP_URL']).path[1:]}"
    async with started(*DEMO, "--commands", "20000", environment=worker.environment) as process:
        await _printed(process, b"set-up: ")
        management.request("DELETE", path)
        try:
            end = await ended(process)
        finally:
            management.request("PUT", path)  # for its fixture to delete
    assert end.status == 2
    # What is noticed first depends on which of its parts the broker deletes first.
    assert re.fullmatch(r"demo: (RabbitMQ at|no queue takes) [^\n]*\.\n", end.complaint)


@pytest.mark.parametrize(("number", "moment"), [(signal.SIGTERM, b"set-up: "), (signal.SIGINT, b" of 20,000 commands")])
async def test_an_interrupted_demo_leaves_no_process_and_no_file(
    base: Path, number: signal.Signals, moment: bytes
) -> None:
    # So many that the set-up is told of before it is done.
    async with started(*DEMO, "--commands", "20000", environment=kept()) as process:
        await _printed(process, moment)
        os.killpg(process.pid, number)
        end = await ended(process)
    assert left_below(base) == []
    assert (end.status, end.complaint) == (130, "")
