"""A primary that dies for good, and a standby that takes its place, with all that was acknowledged or without."""

import asyncio
import random
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from deploy.local.postgres import DATABASE
from eventstore.postgres import migrate
from tests.faults.conftest import Settle
from tests.faults.load import UNDER_WAY
from tests.faults.size import WITH_FOLLOWERS, Size
from tests.faults.trial import Ground, Trial, settled
from tests.support.fixtures.failover import PrimaryAndStandby
from tests.support.fixtures.silent import frozen

# How many answers are given while an asynchronous standby is away. What they say may be older, of those under way.
_AWAY = 2 * UNDER_WAY


@pytest.mark.parametrize("followers", WITH_FOLLOWERS)
async def test_a_synchronous_standby_is_promoted(
    primary_and_standby: PrimaryAndStandby, vhost: str, tmp_path: Path, settle: Settle, followers: int
) -> None:
    primary, standby = primary_and_standby
    ground = await _ground(primary_and_standby, vhost)
    _wait_for_the_standby(primary_and_standby)
    size = Size.chosen(short_blows=1, most_blows=1)
    fault = "primary killed, synchronous standby promoted"
    async with Trial.of(fault, ground, tmp_path, size, followers=followers) as trial:
        assert primary.query("SELECT sync_state FROM pg_stat_replication") == "sync"

        async def fail_over(_: random.Random) -> None:
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.promote)

        await trial.suffer(fail_over)
        settle(await trial.audit())


async def test_a_frozen_primary_is_replaced_by_a_synchronous_standby(
    primary_and_standby: PrimaryAndStandby, vhost: str, tmp_path: Path, settle: Settle
) -> None:
    """Its address takes connections and says nothing, as that of a machine that hangs, until the trial is over."""
    primary, standby = primary_and_standby
    ground = await _ground(primary_and_standby, vhost)
    _wait_for_the_standby(primary_and_standby)
    size = Size.chosen(short_blows=1, most_blows=1)
    with ExitStack() as silent:
        async with Trial.of("primary frozen, synchronous standby promoted", ground, tmp_path, size) as trial:

            async def fail_over(_: random.Random) -> None:
                silent.enter_context(frozen(primary))
                await asyncio.to_thread(standby.promote)

            await trial.suffer(fail_over)
            settle(await trial.audit())


@pytest.mark.parametrize("followers", WITH_FOLLOWERS)
async def test_an_asynchronous_standby_is_promoted_without_the_last_events(
    primary_and_standby: PrimaryAndStandby, vhost: str, tmp_path: Path, settle: Settle, followers: int
) -> None:
    primary, standby = primary_and_standby
    ground = await _ground(primary_and_standby, vhost)
    size = Size.chosen(short_blows=1, most_blows=1)
    fault = "primary killed, standby promoted without its last events"
    async with Trial.of(fault, ground, tmp_path, size, followers=followers) as trial:
        load, sent = trial.load, set[UUID]()

        async def fail_over(_: random.Random) -> None:
            await asyncio.to_thread(standby.stop)
            await load.reach(len(load.answered) + _AWAY)
            with ExitStack() as stack:
                if trial.following is not None:
                    # What they have seen by then is all that they can have sent on account of.
                    stack.enter_context(trial.following.frozen())
                    trial.following.sent_before = await trial.following.expected()
                await asyncio.to_thread(primary.kill)
            sent.update(load.commands)
            await asyncio.to_thread(standby.start)
            await asyncio.to_thread(standby.promote)

        await trial.suffer(fail_over)
        # Answers that were given in a history that is no more. The last of them may come after the promotion: only when
        # nothing is under way are they all known.
        missing = load.answered - await settled(ground.database_url)
        # An asynchronous standby loses these, which no worker can help. Whoever sent them finds no receipt, and sends
        # them again: what workers had kept of the lost history must not answer them.
        assert missing <= sent
        assert len(missing) >= _AWAY - UNDER_WAY
        await trial.repeat_lost(missing)
        if trial.following is not None:
            await trial.following.go_on()
        settle(await trial.audit())


async def _ground(servers: PrimaryAndStandby, vhost: str) -> Ground:
    primary, standby = servers
    await migrate(primary.url(primary.admin))
    one = primary.url(primary.worker, DATABASE)
    # Both servers in one address: whoever connects looks for the one that takes writes.
    both = one.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{standby.port}/")
    return Ground(database_url=both, amqp_url=vhost, replica_urls=(standby.url(standby.worker, DATABASE),))


def _wait_for_the_standby(servers: PrimaryAndStandby) -> None:
    """Have each commit of the primary wait for its standby."""
    primary, standby = servers
    primary.query(f"ALTER SYSTEM SET synchronous_standby_names = '\"{standby.name}\"'")
    primary.query("SELECT pg_reload_conf()")
