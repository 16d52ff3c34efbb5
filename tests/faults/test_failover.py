"""A primary that fails permanently, and its standby, promoted with or without all acknowledged events."""

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
from tests.faults.trial import Servers, Trial, settled
from tests.support.fixtures.failover import PrimaryAndStandby
from tests.support.fixtures.unresponsive import frozen

# The number of answers while the asynchronous standby is stopped. Commands in flight may have been recorded before.
_AWAY = 2 * UNDER_WAY


@pytest.mark.parametrize("followers", WITH_FOLLOWERS)
async def test_a_synchronous_standby_is_promoted(
    primary_and_standby: PrimaryAndStandby, vhost: str, tmp_path: Path, settle: Settle, followers: int
) -> None:
    primary, standby = primary_and_standby
    servers = await _servers(primary_and_standby, vhost)
    _wait_for_the_standby(primary_and_standby)
    size = Size.chosen(short_blows=1, most_blows=1)
    fault = "primary killed, synchronous standby promoted"
    async with Trial.of(fault, servers, tmp_path, size, followers=followers) as trial:
        assert primary.query("SELECT sync_state FROM pg_stat_replication") == "sync"

        async def fail_over(_: random.Random) -> None:
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.promote)

        await trial.inject(fail_over)
        settle(await trial.audit())


async def test_a_frozen_primary_is_replaced_by_a_synchronous_standby(
    primary_and_standby: PrimaryAndStandby, vhost: str, tmp_path: Path, settle: Settle
) -> None:
    """Its address accepts connections without answering, like a hung machine, until the trial is over."""
    primary, standby = primary_and_standby
    servers = await _servers(primary_and_standby, vhost)
    _wait_for_the_standby(primary_and_standby)
    size = Size.chosen(short_blows=1, most_blows=1)
    with ExitStack() as silent:
        async with Trial.of("primary frozen, synchronous standby promoted", servers, tmp_path, size) as trial:

            async def fail_over(_: random.Random) -> None:
                silent.enter_context(frozen(primary))
                await asyncio.to_thread(standby.promote)

            await trial.inject(fail_over)
            settle(await trial.audit())


@pytest.mark.parametrize("followers", WITH_FOLLOWERS)
async def test_an_asynchronous_standby_is_promoted_without_the_last_events(
    primary_and_standby: PrimaryAndStandby, vhost: str, tmp_path: Path, settle: Settle, followers: int
) -> None:
    primary, standby = primary_and_standby
    servers = await _servers(primary_and_standby, vhost)
    size = Size.chosen(short_blows=1, most_blows=1)
    fault = "primary killed, standby promoted without its last events"
    async with Trial.of(fault, servers, tmp_path, size, followers=followers) as trial:
        load, sent = trial.load, set[UUID]()

        async def fail_over(_: random.Random) -> None:
            await asyncio.to_thread(standby.stop)
            await load.reach(len(load.answered) + _AWAY)
            with ExitStack() as stack:
                if trial.following is not None:
                    # Frozen, they send no reactions to events after these.
                    stack.enter_context(trial.following.frozen())
                    trial.following.sent_before = await trial.following.expected()
                await asyncio.to_thread(primary.kill)
            sent.update(load.commands)
            await asyncio.to_thread(standby.start)
            await asyncio.to_thread(standby.promote)

        await trial.inject(fail_over)
        # Answers from the lost history. The last of them may arrive after the promotion: all are known only when no
        # command is in flight.
        missing = load.answered - await settled(servers.database_url)
        # No worker can prevent that an asynchronous standby loses these. Their publishers find no receipt and send them
        # again: states that workers have cached from the lost history must not answer them.
        assert missing <= sent
        assert len(missing) >= _AWAY - UNDER_WAY
        await trial.repeat_lost(missing)
        if trial.following is not None:
            await trial.following.go_on()
        settle(await trial.audit())


async def _servers(pair: PrimaryAndStandby, vhost: str) -> Servers:
    primary, standby = pair
    await migrate(primary.url(primary.admin))
    one = primary.url(primary.worker, DATABASE)
    # Both servers in one address: clients connect to the one that accepts writes.
    both = one.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{standby.port}/")
    return Servers(database_url=both, amqp_url=vhost, replica_urls=(standby.url(standby.worker, DATABASE),))


def _wait_for_the_standby(pair: PrimaryAndStandby) -> None:
    """Make the standby synchronous: each commit of the primary waits for it."""
    primary, standby = pair
    primary.query(f"ALTER SYSTEM SET synchronous_standby_names = '\"{standby.name}\"'")
    primary.query("SELECT pg_reload_conf()")
