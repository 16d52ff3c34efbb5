"""The control socket, with both ends in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from worker.supervision.control_socket import HURRY, STOP, Figures, SupervisorChannel, supervised
from worker.supervision.health import Health

HEALTH = Health(live=True, ready=True, reason="consuming")


@dataclass
class Both:
    """The supervisor's end, and the calls at the worker's end."""

    channel: SupervisorChannel
    worker: AsyncExitStack
    counts: dict[str, int] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def connected(*, reporting: bool = True) -> AsyncIterator[Both]:
    channel, theirs = await SupervisorChannel.pair()
    async with AsyncExitStack() as worker:
        both = Both(channel, worker)
        held = await worker.enter_async_context(supervised(theirs.detach(), stop=both.stop, hurry=both.hurry))
        if reporting:
            await worker.enter_async_context(held.reporting(health=lambda: HEALTH, figures=lambda: both.counts))
        try:
            yield both
        finally:
            channel.close()


async def test_health_is_reported_at_once_and_the_counters_at_the_end() -> None:
    async with connected() as both:
        assert await both.channel.report() == HEALTH
        both.counts["received"] = 7
        await both.worker.aclose()
        reports = [await both.channel.report()]
        while reports[-1] is not None:
            reports.append(await both.channel.report())
        assert reports[-2:] == [Figures(counts={"received": 7}), None]


@pytest.mark.parametrize(("told", "hurries"), [(STOP, False), (HURRY, True)])
async def test_the_worker_obeys_the_supervisor(told: bytes, *, hurries: bool) -> None:
    async with connected() as both:
        await both.channel.report()
        assert not both.stop.is_set()
        both.channel.tell(told)
        async with asyncio.timeout(60):
            await both.stop.wait()
            assert both.hurry.is_set() is hurries


async def test_the_worker_can_be_stopped_before_its_first_report() -> None:
    async with connected(reporting=False) as both:
        both.channel.tell(STOP)
        async with asyncio.timeout(60):
            await both.stop.wait()


async def test_the_worker_stops_if_its_supervisor_ends(caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as both:
        both.channel.close()
        async with asyncio.timeout(60):
            await both.stop.wait()
        assert not both.hurry.is_set()
    assert "the supervisor has ended" in caplog.text


async def test_without_a_supervisor_nothing_happens() -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()
    async with supervised(None, stop=stop, hurry=hurry) as unsupervised:
        assert not unsupervised.is_open
        async with unsupervised.reporting(health=lambda: HEALTH, figures=dict):
            assert not stop.is_set()
