"""The isolator alone: which process decides a message, and what becomes of one whose process ends."""

import asyncio
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import StoreUnavailable
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected
from tests.integration.worker.outage import full, without_connections
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from worker.counters import Counters
from worker.errors import IsolationFailed, KilledItsProcess
from worker.isolation.isolator import Isolator
from worker.isolation.poison_process import PoisonProcess, ProcessLimits
from worker.message import CommandMessage
from worker.settings import Settings
from worker.settlement import Action, Answer, FailedElsewhere

DOMAIN, DOMAIN_NAME = "tests.integration.worker.troubles:domain", "tally"
SEGFAULT = b'{"Key": "k", "Signal": %d}' % signal.SIGSEGV


async def yes() -> None:
    """Find that the database serves this process."""


async def no() -> None:
    """Find that it does not."""
    raise StoreUnavailable("the test says so")


@dataclass
class Isolated:
    """An isolator, and what it is asked."""

    isolator: Isolator
    counters: Counters

    async def decide(
        self, body: bytes, kind: str = "Count", command_id: UUID | None = None, *, begin_by: float = math.inf
    ) -> Answer:
        identity = command_id or uuid4()
        message = CommandMessage(
            command_id=identity,
            command_type=kind,
            body=body,
            correlation_id=str(identity),
            causation_id=str(identity),
            headers={},
        )
        return await self.isolator.decide("tally", message, begin_by=begin_by)

    @property
    def process(self) -> int:
        """The process that decides."""
        assert self.isolator._process is not None
        return self.isolator._process.pid

    async def spare(self) -> int:
        """The process that stands by, as soon as it has started."""
        assert self.isolator._spare is not None
        return (await asyncio.shield(self.isolator._spare)).pid


@asynccontextmanager
async def isolating(
    database: Database, *, probe: Callable[[], Awaitable[object]] = yes, limits: Any = None, **settings: Any
) -> AsyncIterator[Isolated]:
    counters = Counters()
    made = Isolator(
        Settings(database_url=database.url, worker_domains=DOMAIN, **settings),
        counters,
        probe=probe,
        limits=limits and ProcessLimits(**limits),
    )
    try:
        yield Isolated(made, counters)
    finally:
        await made.close()


@pytest.fixture
async def isolated(database: Database) -> AsyncIterator[Isolated]:
    async with isolating(database) as isolated:
        yield isolated


def of_kernel(process: int, what: str) -> str:
    return Path(f"/proc/{process}/{what}").read_text()


def lives(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def gone(*processes: int) -> None:
    async def are_gone() -> bool:
        return not any(lives(process) for process in processes)

    await eventually(are_gone, what=f"processes {processes} to end")


async def test_the_process_that_stands_by_decides_after_one_that_ended(isolated: Isolated) -> None:
    await isolated.decide(b'{"Key": "a"}')
    first, second = isolated.process, await isolated.spare()
    assert first != second
    with pytest.raises(
        KilledItsProcess,
        match=r"^the process that decided it was ended by SIGSEGV, and the next one that did was ended by SIGSEGV$",
    ):
        await isolated.decide(SEGFAULT, "Crash")
    await gone(first, second)
    assert (await isolated.decide(b'{"Key": "b"}')).receipt.outcome.kind == "accepted"
    assert isolated.process not in {first, second}


async def test_a_poison_message_is_decided_in_its_own_domain_s_store(
    database: Database, other: Database, store: PostgresEventStore
) -> None:
    """And no connection is made to a store that no such message has come from."""
    variable = "DATABASE_URL_" + DOMAIN_NAME.upper()
    async with isolating(other, domain_databases={variable: database.url}) as isolated:
        assert (await isolated.decide(b'{"Key": "a"}')).receipt.outcome.kind == "accepted"
        assert [receipt.scope async for receipt in store.all_receipts()] == [DOMAIN_NAME]
        async with connected(other.admin_url) as session:
            sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE $2"
            assert await session.fetchval(sessions, other.name, "worker isolation%") == 0
            assert await session.fetchval(sessions, database.name, "worker isolation%") == 1


async def test_an_innocent_command_whose_process_is_killed_is_decided_by_another(
    isolated: Isolated, tmp_path: Path
) -> None:
    times = tmp_path / "times"
    times.write_text("1")
    await isolated.decide(b'{"Key": "a"}')
    spare = await isolated.spare()
    body = b'{"Key": "b", "Signal": %d, "Times": "%s"}' % (signal.SIGKILL, str(times).encode())
    assert (await isolated.decide(body, "Crash")).receipt.outcome.kind == "accepted"
    assert isolated.process == spare


async def test_what_was_recorded_before_its_process_died_can_be_looked_up(
    isolated: Isolated, store: PostgresEventStore, tmp_path: Path
) -> None:
    times, identity = tmp_path / "times", uuid4()
    times.write_text("0")
    body = b'{"Key": "b", "Signal": %d, "Times": "%s"}' % (signal.SIGKILL, str(times).encode())
    await isolated.decide(body, "Crash", identity)
    times.write_text("2")
    with pytest.raises(KilledItsProcess):
        await isolated.decide(body, "Crash", identity)
    assert [receipt.key async for receipt in store.all_receipts()] == [identity]


async def test_the_process_that_stands_by_goes_first_when_memory_runs_out_and_has_no_connection(
    isolated: Isolated,
) -> None:
    await isolated.decide(b'{"Key": "a"}')
    spare = await isolated.spare()
    assert of_kernel(spare, "oom_score_adj") == of_kernel(isolated.process, "oom_score_adj") == "1000\n"
    assert connections(spare) == 0
    assert connections(isolated.process) == 1


def connections(process: int) -> int:
    """How many connections over TCP a process has."""
    links = [str(entry.readlink()) for entry in Path(f"/proc/{process}/fd").iterdir()]
    lines = [line.split() for line in of_kernel(process, "net/tcp").splitlines()[1:]]
    return sum(f"socket:[{fields[9]}]" in links for fields in lines)


async def test_a_spare_that_was_killed_is_not_missed(isolated: Isolated) -> None:
    await isolated.decide(b'{"Key": "a"}')
    first, spare = isolated.process, await isolated.spare()
    for process in (first, spare):
        os.kill(process, signal.SIGKILL)
    await isolated.decide(b'{"Key": "b"}')
    assert isolated.process not in {first, spare}


async def test_a_start_that_fails_is_no_commands_doing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with isolating(database) as isolated:

        async def refuse(*_: Any) -> PoisonProcess:
            raise IsolationFailed("no memory")

        with monkeypatch.context() as patch:
            patch.setattr(PoisonProcess, "start", refuse)
            with pytest.raises(IsolationFailed, match="no memory"):
                await isolated.decide(b'{"Key": "a"}')
        await isolated.decide(b'{"Key": "a"}')


async def test_a_domain_that_cannot_be_loaded_is_told(database: Database) -> None:
    async with isolating(database) as isolated:
        isolated.isolator._settings = replace(isolated.isolator._settings, worker_domains="nothing:here")
        with pytest.raises(IsolationFailed, match=r"the process for poison messages cannot start: .*nothing"):
            await isolated.decide(b'{"Key": "a"}')


async def test_a_command_that_never_comes_back_is_given_up(database: Database) -> None:
    async with isolating(database, limits={"stuck": 0.5}, worker_handler_timeout=8.0) as isolated:
        await isolated.decide(b'{"Key": "a"}')
        process = isolated.process
        with pytest.raises(
            KilledItsProcess, match=r"^the process that decided it did not come back within 8.5 s, and was killed$"
        ):
            await isolated.decide(b'{"Key": "b", "Until": "/never"}', "Compute")
        await gone(process)
        await isolated.decide(b'{"Key": "c"}')


async def test_a_message_waits_for_another_no_longer_than_it_may_be_held(isolated: Isolated, tmp_path: Path) -> None:
    until = tmp_path / "until"
    deciding = asyncio.create_task(isolated.decide(b'{"Key": "a", "Until": "%s"}' % str(until).encode(), "Compute"))
    await asyncio.sleep(0)
    with pytest.raises(IsolationFailed, match="other messages that may be poison were decided"):
        await isolated.decide(b'{"Key": "b"}', begin_by=time.monotonic() + 0.05)
    until.touch()
    await deciding
    # What need not wait begins, however late it is.
    assert (await isolated.decide(b'{"Key": "b"}', begin_by=time.monotonic())).receipt.outcome.kind == "accepted"


async def test_what_no_exception_is_fails_the_command_and_not_its_process(isolated: Isolated) -> None:
    await isolated.decide(b'{"Key": "a"}')
    process = isolated.process
    with pytest.raises(FailedElsewhere) as raised:
        await isolated.decide(b'{"Key": "b"}', "Panic")
    failure = raised.value.failure
    assert (failure.headline.partition(" ")[0], failure.text) == ("HandlerCrashed", "PanicException: b")
    await isolated.decide(b'{"Key": "c"}')
    assert isolated.process == process


async def test_a_command_whose_code_calls_the_database_away_pauses_nobody(isolated: Isolated) -> None:
    with pytest.raises(FailedElsewhere) as raised:
        await isolated.decide(b'{"Key": "b"}', "Blame")
    failure = raised.value.failure
    assert (failure.verdict.reason, failure.text) == ("handler_error", "StoreUnavailable: b")
    await isolated.decide(b'{"Key": "c"}')


async def test_processes_that_nobody_needs_end(database: Database) -> None:
    async with isolating(database, limits={"idle": 0.1}) as isolated:
        await isolated.decide(b'{"Key": "a"}')
        process = isolated.process

        async def are_none() -> bool:
            return isolated.isolator._process is None and isolated.isolator._spare is None

        await eventually(are_none, what="the processes to be let go")
        await gone(process)
        await isolated.decide(b'{"Key": "b"}')


async def test_a_command_that_is_given_up_takes_its_process_along(isolated: Isolated) -> None:
    await isolated.decide(b'{"Key": "a"}')
    process, spare = isolated.process, await isolated.spare()
    deciding = asyncio.create_task(isolated.decide(b'{"Key": "b", "Until": "/never"}', "Compute"))

    async def computes() -> bool:
        return of_kernel(process, "stat").rpartition(")")[2].split()[0] == "R"

    await eventually(computes, what="the command to be decided")
    deciding.cancel()
    await asyncio.wait({deciding})
    assert deciding.cancelled()
    await gone(process)
    await isolated.decide(b'{"Key": "c"}')
    assert isolated.process == spare


async def test_a_database_that_serves_the_worker_alone_is_no_reason_to_pause(database: Database) -> None:
    """As when the role has no connection left."""
    async with full(database), isolating(database) as isolated:
        with pytest.raises(IsolationFailed, match="the process for poison messages cannot use the database: "):
            await isolated.decide(b'{"Key": "a"}')


async def test_a_database_that_serves_nobody_is_a_reason_to_pause(database: Database) -> None:
    async with isolating(database, probe=no) as isolated:
        async with without_connections(database):
            with pytest.raises(FailedElsewhere) as raised:
                await isolated.decide(b'{"Key": "a"}')
        assert raised.value.failure.verdict.action is Action.PAUSE
        process = isolated.process
        await isolated.decide(b'{"Key": "a"}')
        assert isolated.process == process
