"""Projections that run beside a test, in its process or in one of their own, and what they should have come to."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from eventstore import Event, EventStore, Position
from eventstore.postgres import PostgresEventStore, Session
from eventstore.schema_name import DEFAULT_SCHEMA
from handlers import Domain
from tests.support.domains.ledger import Booked, Closed, balances, ledger
from tests.support.fixtures.waiting import eventually
from tests.support.fork_server import Call, started
from worker.reading.builds import Declared
from worker.reading.coordinator import Coordinator
from worker.reading.followed import Followed
from worker.reading.outlet import BrokerConnections
from worker.reading.read_models import ReadModels

ROOT = Path(__file__).resolve().parents[3]
BALANCES = "ledger.balances"
FOLLOW_SECONDS = 0.02
# Events that may wait for a follower while others are recorded.
_MOST_AHEAD = 200


def booked(account: str, amount: int = 1) -> Event:
    return ledger(balances).to_record(Booked(account=account, amount=amount), {})


def closed(account: str) -> Event:
    return ledger(balances).to_record(Closed(account=account), {})


async def book(store: EventStore, *accounts: str) -> Position:
    return (await store.append([booked(account) for account in accounts])).position


@asynccontextmanager
async def coordinating(
    url: str,
    domain: Domain,
    *,
    target: str | None = None,
    schema: str = DEFAULT_SCHEMA,
    answer_seconds: float = 10.0,
) -> AsyncIterator[Coordinator]:
    """Run a domain's projections in this process."""
    declared = [Declared(domain=domain, projection=projection) for projection in domain.projections]
    async with following(url, declared, target=target, schema=schema, answer_seconds=answer_seconds) as coordinator:
        yield coordinator


@asynccontextmanager
async def following(
    url: str,
    declared: Sequence[Followed],
    *,
    target: str | None = None,
    outlet: BrokerConnections | None = None,
    schema: str = DEFAULT_SCHEMA,
    answer_seconds: float = 10.0,
) -> AsyncIterator[Coordinator]:
    """Run what follows the log in this process."""
    async with PostgresEventStore.connect(
        url, schema=schema, follow_seconds=FOLLOW_SECONDS, application_name="projecting"
    ) as store:
        coordinator = Coordinator(
            declared,
            store,
            lambda purpose: Session(target or url, purpose=purpose, schema=schema),
            outlet=outlet,
            answer_seconds=answer_seconds,
        )
        try:
            await coordinator.open()
        except BaseException:
            await coordinator.close()
            raise
        serving = asyncio.create_task(coordinator.serve())
        try:
            yield coordinator
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await coordinator.close()  # one that was cancelled before it began
            if not serving.cancelled() and (failure := serving.exception()) is not None:
                raise failure


async def reached(url: str, position: Position, *, projection: str = BALANCES, schema: str = DEFAULT_SCHEMA) -> None:
    """Wait until a projection is as far as a position."""
    async with ReadModels(url, schema=schema) as models:
        await models.wait_for(projection, position, seconds=120)


async def rows(url: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()


async def moves_on(url: str, follower: str, *, by: int) -> None:
    """Wait until a follower has come on by so many events."""
    async with _checkpoint(url, follower) as at:
        before = await at()

        async def moves() -> bool:
            return await at() >= before + by

        await eventually(moves, what=f"{follower} to go on")


async def keeps_up(url: str, follower: str, number: int, *, until: asyncio.Event) -> None:
    """Wait until a follower is not far behind an event: a machine that is slow is not to have the more to do for it.

    Args:
        url: The database of its checkpoint.
        follower: Its name.
        number: The event.
        until: What ends the wait, too.
    """
    async with _checkpoint(url, follower) as at:

        async def is_near() -> bool:
            return until.is_set() or await at() >= number - _MOST_AHEAD

        await eventually(is_near, what=f"{follower} to keep up")


@asynccontextmanager
async def _checkpoint(url: str, follower: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    connection = await asyncpg.connect(url)

    async def number() -> int:
        return int(
            await connection.fetchval(
                "SELECT coalesce(max(number), 0) FROM reading.followers WHERE name = $1", follower
            )
        )

    try:
        yield number
    finally:
        await connection.close()


async def check_balances(url: str, log: str | None = None) -> None:
    """Compare what readers read with a fold of the log."""
    folded = await rows(
        log or url,
        "SELECT sequence_number, event_type, payload->>'Account', (payload->>'Amount')::bigint FROM eventstore.events"
        " ORDER BY 1",
    )
    entries: list[tuple[int, str]] = []
    last: dict[str, int] = {}
    totals: dict[str, int] = {}
    for number, event_type, account, amount in folded:
        if event_type == "Closed":
            last.pop(account, None)
            continue
        entries.append((number, account))
        last[account] = number
        totals[account] = totals.get(account, 0) + amount
    assert await rows(url, "SELECT number, account FROM read_ledger.entries ORDER BY 1") == entries
    assert dict(await rows(url, "SELECT account, last FROM read_ledger.accounts")) == last
    assert dict(await rows(url, "SELECT account, total FROM read_ledger.totals")) == totals


async def owner_of(url: str, projection: str = "balances") -> str | None:
    """The process that has the lease of what readers read, or had it last."""
    found = await rows(url, "SELECT owner FROM reading.followers WHERE name = $1 AND is_current", projection)
    return found[0][0] if found else None


class Projecting:
    """``python -m worker project`` for the ledger, or another command for another domain."""

    def __init__(self, process: Process) -> None:
        self.lines: list[str] = []
        self.process = process
        self._reading = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def running(
        cls, url: str, *names: str, command: str = "project", doing: str = "projecting", **variables: str
    ) -> AsyncIterator["Projecting"]:
        """Start one; killed if it is left running."""
        meant = names or (("balances",) if command == "project" else ())
        process = await start(command, *meant, url=url, **variables)
        found = cls(process)
        try:
            await found.logged(doing)
            yield found
        finally:
            await found.kill()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def logged(self, text: str) -> None:
        async def said() -> bool:
            # What it said last is read after its end is known.
            return self._reading.done() or any(text in line for line in self.lines)

        await eventually(said, what=f"the process to log {text!r}")
        assert any(text in line for line in self.lines), self.lines

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip())


async def start(*arguments: str, url: str, **variables: str) -> Process:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": url,
        "WORKER_DOMAINS": "tests.support.domains.ledger:domain",
        **variables,
    }
    return await started(Call(arguments=arguments, environment=environment, strict=True), stdout=PIPE, stderr=PIPE)


async def told(*arguments: str, url: str, **variables: str) -> tuple[int, str, str]:
    """Run ``python -m worker`` to its end: exit status, output, and errors."""
    process = await start(*arguments, url=url, **variables)
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def waits_for_lock(url: str) -> None:
    """Wait until a batch waits for a lock that somebody else has."""

    async def waits() -> bool:
        found = await rows(
            url,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND application_name LIKE 'worker %'",
        )
        return bool(found[0][0])

    await eventually(waits, what="a batch to wait for a lock")


@asynccontextmanager
async def totals_locked(admin_url: str) -> AsyncIterator[None]:
    """Keep a batch from writing the account ``a`` in its last table, after it has written all others."""
    ((schema,),) = await rows(admin_url, "SELECT 'projection_' || max(follower_id) FROM reading.followers")
    connection = await asyncpg.connect(admin_url)
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT FROM {schema}.totals WHERE account = 'a' FOR UPDATE")
            yield
    finally:
        await connection.close()


async def lose(admin_url: str, *, above: int) -> None:
    """Rewrite the log behind everybody's back, as a failover does that loses the last events."""
    connection = await asyncpg.connect(admin_url)
    async with connection.transaction():
        await connection.execute("ALTER TABLE eventstore.events DISABLE TRIGGER USER")
        await connection.execute("DELETE FROM eventstore.events WHERE sequence_number > $1", above)
        await connection.execute("ALTER TABLE eventstore.events ENABLE ALWAYS TRIGGER events_are_facts")
    await connection.close()
