"""A network between the workers and a server that delays, cuts, drops and blocks."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Settle
from tests.faults.load import UNDER_WAY, Load
from tests.faults.size import Size
from tests.faults.trial import Servers, Trial
from tests.support.tcp_proxy import Proxy, proxy

# The range of seconds for which nothing is passed on.
_SILENCE = (1.0, 8.0) if Size.is_long() else (1.0, 2.0)

Disturbance = Callable[[Proxy, Load, random.Random], Coroutine[Any, Any, None]]


async def delays(way: Proxy, load: Load, rng: random.Random) -> None:
    way.delay = rng.uniform(0.02, 0.1)
    await load.reach(len(load.answered) + UNDER_WAY // 4)
    way.delay = 0.0


async def cuts(way: Proxy, _: Load, __: random.Random) -> None:
    way.cut()


async def loses_answers(way: Proxy, _: Load, rng: random.Random) -> None:
    way.lose_answers(rng.randint(1, 5))


async def passes_nothing_on_for_a_while(way: Proxy, _: Load, rng: random.Random) -> None:
    way.hold()
    await asyncio.sleep(rng.uniform(*_SILENCE))
    way.go_on()


async def passes_nothing_on_and_cuts(way: Proxy, _: Load, rng: random.Random) -> None:
    way.hold()
    await asyncio.sleep(rng.uniform(*_SILENCE))
    way.cut()
    way.go_on()


DISTURBANCES = (delays, cuts, loses_answers, passes_nothing_on_for_a_while, passes_nothing_on_and_cuts)


@pytest.fixture(params=["broker", "database"])
def side(request: pytest.FixtureRequest) -> str:
    """The server whose network fails."""
    return str(request.param)


async def test_the_network_fails(side: str, servers: Servers, tmp_path: Path, settle: Settle) -> None:
    async with proxy(servers.amqp_url if side == "broker" else servers.database_url) as way:
        proxied = _through(side, servers, way)
        fault = f"network to the {side} delays, cuts, passes nothing on"
        async with Trial.of(fault, proxied, tmp_path, Size.chosen(short_blows=len(DISTURBANCES))) as trial:
            disturbances = _alternating(DISTURBANCES)

            async def disturb(rng: random.Random) -> None:
                await next(disturbances)(way, trial.load, rng)

            await trial.inject(disturb)
            assert way.cuts > 0
            figures = await trial.audit()
        settle(figures)


async def test_the_link_is_slow(side: str, servers: Servers, tmp_path: Path, settle: Settle) -> None:
    """Like a link between sites: high latency and low bandwidth."""
    async with proxy(servers.amqp_url if side == "broker" else servers.database_url) as way:
        proxied = _through(side, servers, way)
        async with Trial.of(f"slow link to the {side}", proxied, tmp_path, Size.chosen(short_blows=2)) as trial:

            async def slow_down(rng: random.Random) -> None:
                way.delay, way.rate = rng.uniform(0.02, 0.15), rng.uniform(10_000, 60_000)
                await trial.load.reach(len(trial.load.answered) + UNDER_WAY)
                way.delay, way.rate = 0.0, None

            await trial.inject(slow_down)
            figures = await trial.audit()
        settle(figures)


@pytest.mark.skipif(not Size.is_long(), reason="only in the long form: it waits for the broker's heartbeats to fail")
async def test_lost_connections_to_the_broker_are_found_by_heartbeats(
    servers: Servers, tmp_path: Path, settle: Settle
) -> None:
    async with proxy(servers.amqp_url) as way:
        proxied = replace(servers, worker_amqp_url=way.url)
        fault = "connections to the broker fall silent, found by heartbeats"
        async with Trial.of(fault, proxied, tmp_path, Size.chosen(most_blows=2)) as trial:

            async def silence(_: random.Random) -> None:
                way.discard_traffic()

            await trial.inject(silence)
            figures = await trial.audit()
        settle(figures)


def _through(side: str, servers: Servers, way: Proxy) -> Servers:
    """Have workers reach one of their servers through this proxy."""
    return (
        replace(servers, worker_amqp_url=way.url) if side == "broker" else replace(servers, worker_database_url=way.url)
    )


def _alternating(disturbances: Sequence[Disturbance]) -> "itertools.cycle[Disturbance]":
    return itertools.cycle(disturbances)
