"""Schedules that run in a test's process, and what waits in the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.support.fixtures.waiting import eventually
from worker.leased_service import LeasedService
from worker.schedule.schedule import Schedule
from worker.schedule.service import opened
from worker.settings import Settings
from worker.topology import Topology

TALLY = Topology("tally", has_schedule=True)


@asynccontextmanager
async def scheduling(
    url: str, amqp_url: str, *, domains: str = "tests.support.domains.tally:domain", **settings: Any
) -> AsyncIterator[LeasedService]:
    """Run the schedules of domains; at the end they stop, as a process that is told to."""
    chosen = Settings(database_url=url, amqp_url=amqp_url, worker_domains=domains, **settings)
    async with opened(chosen) as service:
        stop = asyncio.Event()
        serving = asyncio.create_task(service.serve(stop))
        try:
            yield service
        finally:
            stop.set()
            await serving


def running(service: LeasedService) -> Schedule:
    """The one schedule of a service."""
    (schedule,) = service.parts
    assert isinstance(schedule, Schedule)
    return schedule


async def rows(url: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()


async def waiting(url: str) -> list[str]:
    """The ids that wait to be sent."""
    return [str(row[0]) for row in await rows(url, "SELECT command_id FROM schedule.commands ORDER BY due_at")]


async def waits(url: str, count: int) -> None:
    """Wait until so many commands wait to be sent."""

    async def do() -> bool:
        return len(await waiting(url)) == count

    await eventually(do, what=f"{count} commands to wait")


async def make_due(admin_url: str) -> None:
    """Have the time of all that waits be up."""
    await rows(admin_url, "UPDATE schedule.commands SET due_at = now(), send_at = now()")
