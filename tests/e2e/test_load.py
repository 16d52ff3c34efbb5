"""``worker load`` on real servers: against workers that run, and against workers of its own that are killed."""

import asyncio
import json
import os
import random
import re
import shutil
import signal
import sys
from pathlib import Path

import asyncpg
import pytest

from handlers.library.scenarios.duplicate_storm import DuplicateStorm
from handlers.library.scenarios.hot_book import HotBook
from tests.e2e.conftest import Serving
from tests.e2e.program import ROOT, Ended, Worker, ended, started
from tests.e2e.tampering import tampered
from tests.support.backlogs import backlog_if_told
from tests.support.fixtures.databases import Database
from tests.support.fixtures.ports import free_port
from tests.support.fixtures.waiting import eventually
from tests.support.summary import PROMISED
from worker.load.summary import Summary
from worker.topology import Topology

SHOP = Path(__file__).parents[2] / "examples" / "shop"
MAKE_LOAD = (sys.executable, "-m", "deploy.local.load")
TAMPERED = tampered("from worker.cli.main import main", "main()")
# The first worker is killed when all is answered, and makes no report.
STRUCK = """
import os, signal
from worker.cli.main import main
from worker.load.fleet import Fleet

drain = Fleet.drain

async def struck(fleet):
    os.kill(fleet.pids[0], signal.SIGKILL)
    return await drain(fleet)

Fleet.drain = struck
main()
"""


def size(scenario: HotBook | DuplicateStorm, commands: int) -> int:
    """How many commands the set-up has."""
    return len(list(scenario.workload(random.Random(1), commands).setup))  # noqa: S311  not a secret


def summary(text: str) -> Summary:
    assert json.loads(text).keys() >= PROMISED
    return Summary.model_validate_json(text)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def counted(database: Database, what: str) -> int:
    connection = await asyncpg.connect(database.admin_url)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM eventstore.{what}"))  # noqa: S608  our own words
    finally:
        await connection.close()


async def test_a_duplicate_storm_takes_effect_once(served: Worker, database: Database) -> None:
    """Against a worker that runs: all that the run can know of it is what it is answered."""
    end = await served("load", "run", "duplicate-storm", "--commands", "60", "--json", "-", "--set", "books=10")
    assert end.status == 0, end
    made = summary(end.output)
    setup = size(DuplicateStorm(books=10), 60)
    assert (made.commands, made.copies, made.messages) == (60, 120, setup + 180)
    assert sum(made.outcomes.values()) == 60
    assert made.duplicates == 120 == made.wasted_decisions - made.conflicts
    assert (made.violations, made.oracle_checked) == (0, setup + 60)
    assert await counted(database, "receipts") == setup + 60
    assert made.workers is made.replica_read_share is made.cpu_us_per_command is None
    # What people read goes beside it.
    assert "verdict: clean" in end.complaint


async def test_workers_are_killed_and_nothing_is_wrong(worker: Worker, tmp_path: Path) -> None:
    file, report = tmp_path / "a.json", tmp_path / "a.html"
    end = await worker(
        *("load", "run", "hot_book", "--start-workers", "2", "--duration", "6", "--kill-every", "1"),
        *("--json", str(file), "--report", str(report)),
    )
    assert end.status == 0, end
    made = summary(file.read_text())
    assert made.workers == 2
    assert made.workers_killed >= 1
    assert made.violations == made.unanswered == 0
    assert 0 < made.commands == sum(made.outcomes.values()) < 12_000
    assert made.oracle_checked == made.commands + size(HotBook(), 12_000)
    assert f"{made.workers_killed} killed and replaced" in report.read_text()
    assert re.search(r"^verdict: clean - ", end.output, re.MULTILINE)


async def test_open_load_and_a_second_run_on_the_same_log(worker: Worker, database: Database, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    files = [str(path) for path in paths]
    for file, pace in zip(files, (("--rate", "100"), ("--in-flight", "5")), strict=True):
        end = await worker(
            *("load", "run", "last-copies", "--commands", "80", "--set", "readers=30", "--start-workers", "1"),
            *("--json", file, *pace),
        )
        assert end.status == 0, end
    first, second = (summary(path.read_text()) for path in paths)
    assert (first.load, first.rate_per_s, second.load, second.in_flight) == ("open", 100.0, "closed", 5)
    # Its readers and books are others than those of the first one: all of them are registered and added anew.
    recorded = second.outcomes["accepted"] + second.outcomes["rejected"]
    assert second.oracle.events == first.oracle.events + 50 + recorded
    assert first.oracle_checked == second.oracle_checked == 80 + 50
    assert await counted(database, "receipts") == 2 * 130
    assert first.replica_read_share is not None
    assert first.cpu_us_per_command is not None
    # Without settings: files can be compared anywhere.
    compared, document = [await Worker({})("load", "compare", *files, *options) for options in ((), ("--json",))]
    assert compared.status == document.status == 0
    assert "not the same: load: open and closed\n" in compared.output
    assert re.search(r"^throughput +[\d.,]+ +[\d.,]+ +[-+][\d.]+% +commands/s *$", compared.output, re.MULTILINE)
    rows = {row["name"]: row for row in document.document()["figures"]}
    assert (rows["throughput"]["a"], rows["throughput"]["b"]) == (first.throughput_per_s, second.throughput_per_s)


async def test_a_violation_fails_the_scenario_and_is_shown(worker: Worker) -> None:
    arguments = ("load", "run", "hot-reader", "--commands", "50", "--start-workers", "1")
    async with started(sys.executable, "-c", TAMPERED, *arguments, environment=worker.environment) as process:
        end = await ended(process)
    assert end.status == 1, end
    assert re.search(r"^verdict: \d+ violations$", end.output, re.MULTILINE)
    shown = " ".join(end.output.split())
    assert re.search(r"event \d+ BookCopyLentToReader \{[^}]*'mallory'[^}]*\} of command [-0-9a-f]{36} ", shown)
    assert re.search(r"^ +command [-0-9a-f]{36} LendBookCopyToReader ", end.output, re.MULTILINE)
    kept = re.search(r"^The workers' logs are kept in (.*)\.$", end.complaint, re.MULTILINE)
    assert kept is not None
    assert names(Path(kept[1])) == ["worker-1.log"]
    shutil.rmtree(kept[1])


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_worker_that_makes_no_report_is_told_of_in_the_verdict(
    worker: Worker, tmp_path: Path, workers: int
) -> None:
    own = worker.having(TMPDIR=str(tmp_path))
    arguments = ("load", "run", "uncontended", "--commands", "40", "--start-workers", str(workers), "--json", "-")
    async with started(sys.executable, "-c", STRUCK, *arguments, environment=own.environment) as process:
        end = await ended(process)
    assert end.status == 1, end
    made = summary(end.output)
    # What the other one has counted is not everybody's.
    assert made.stale_conflicts is made.dead_letters is made.replica_read_share is made.cpu_us_per_command is None
    log = re.search(r"worker-1 ended with status -9, not after a drain; see (.*)", made.violation_details[0].text)
    assert log is not None, made.violation_details
    assert made.violations == 1
    assert "consuming library.commands" in await asyncio.to_thread(Path(log[1]).read_text)


async def test_started_workers_run_whatever_is_set_for_one_alone(worker: Worker, tmp_path: Path) -> None:
    """As in the image, which names the port for probes; and where somebody wants to read fewer lines."""
    own = worker.having(
        WORKER_HEALTH_PORT=str(free_port()),
        WORKER_LOG_LEVEL="warning",
        WORKER_LOG_FORMAT="human",
        TMPDIR=str(tmp_path),
    )
    end = await own("load", "run", "uncontended", "--commands", "40", "--start-workers", "2")
    assert end.status == 0, end


async def test_two_domains_while_the_store_of_one_is_down_now_and_then(
    worker: Worker, database: Database, other: Database
) -> None:
    own = worker.having(
        WORKER_DOMAINS="handlers.library:domain,handlers.warehouse:domain", DATABASE_URL_WAREHOUSE=other.url
    )
    run = ("load", "run", "two-domains", "--commands", "600", "--start-workers", "2", "--json", "-")
    end = await own(*run, "--set", "down_seconds=0.5")
    assert end.status == 0, end
    made = summary(end.output)
    assert (made.violations, made.unanswered, made.dead_letters) == (0, 0, 0)
    assert made.outages >= 1
    assert f"a store was down {made.outages} time" in end.complaint
    assert {each.domain: each.answered for each in made.by_domain} == {"warehouse": 300, "library": 300}
    receipts = [await counted(each, "receipts") for each in (database, other)]
    # 100 readers and 20 books; 20 deliveries.
    assert receipts == [300 + 120, 300 + 20]
    assert made.oracle_checked == sum(receipts)
    alone = await worker.having(WORKER_DOMAINS=own.environment["WORKER_DOMAINS"])(*run)
    assert alone.status == 0, alone
    assert alone.complaint.startswith(
        "This run has no outages of the store: they are possible when warehouse has a store of"
    )
    assert summary(alone.output).outages == 0


async def test_a_domain_brings_its_own_scenarios(worker: Worker) -> None:
    shop = worker.having(WORKER_DOMAINS="handlers.library:domain,shop.orders:domain", PYTHONPATH=str(SHOP))
    end = await shop("load", "run", "rush", "--commands", "40", "--start-workers", "1", "--json", "-")
    assert end.status == 0, end
    made = summary(end.output)
    assert (made.domain, made.parameters, made.outcomes) == ("orders", {"pieces": 25}, {"accepted": 25, "rejected": 15})
    listed, document = [await shop("load", "list", *options) for options in ((), ("--json",))]
    assert re.search(r"^orders +rush +", listed.output, re.MULTILINE)
    assert re.search(r"^rush +pieces +25 +pieces +", listed.output, re.MULTILINE)
    names = {(each["domain"], each["scenario"]) for each in document.document()}
    assert {("library", "library-day"), ("orders", "rush")} <= names


async def test_workers_that_are_missing_or_too_many_are_told(worker: Worker, serving: Serving) -> None:
    missing = await worker("load", "run", "hot-book")
    assert missing.mistake() == ("no worker serves library; start one with `worker run`, or pass --start-workers 2.")
    async with serving(worker):
        many = await worker("load", "run", "hot-book", "--start-workers", "2")
    assert many.mistake() == (
        "1 worker serves library already, and would take part; stop it, or leave out --start-workers."
    )


async def test_an_interrupted_load_leaves_no_worker_and_no_file(worker: Worker, tmp_path: Path) -> None:
    own = worker.having(TMPDIR=str(tmp_path))
    async with own.started("load", "run", "uncontended", "--commands", "100000", "--start-workers", "1") as process:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b" of 100,000 commands" not in (line := await process.stderr.readline()):
                assert line, await ended(process)
        assert [name[:12] for name in names(tmp_path)] == ["worker-load-"]
        os.kill(process.pid, signal.SIGINT)
        end = await ended(process)
    assert end.status == 130, end
    assert names(tmp_path) == []

    async def consumes_nobody() -> bool:
        found = await backlog_if_told(worker.environment["AMQP_URL"], Topology("library"))
        return found is not None and found.consumers == 0

    # The broker notices some time later that a connection is gone.
    await eventually(consumes_nobody, what="the last consumer to be gone")


@pytest.mark.parametrize(("scenario", "status"), [("library-day", 0), ("hot-cake", 2)])
async def test_make_load_brings_everything(worker: Worker, scenario: str, status: int) -> None:
    """With servers that are named; the way to servers of its own is the demo's."""
    arguments = (scenario, "--commands", "100", "--json", "-")
    async with started(*MAKE_LOAD, *arguments, environment=worker.environment, folder=ROOT) as process:
        end: Ended = await ended(process)
    assert end.status == status, end
    assert end.complaint.startswith("Servers: the servers named by environment variables.\n")
    if status == 0:
        made = summary(end.output)
        assert (made.workers, sum(made.outcomes.values())) == (2, 100)
    else:
        assert "load: there is no scenario 'hot-cake'; did you mean hot-book? Known are uncontended, " in end.complaint
