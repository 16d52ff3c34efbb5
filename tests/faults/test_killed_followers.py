"""Followers (projections, reactions, relays, the schedule) that are killed while they work."""

import random
from pathlib import Path

from tests.faults.conftest import Settle
from tests.faults.size import Size
from tests.faults.trial import Servers, Trial


async def test_followers_are_killed(servers: Servers, tmp_path: Path, settle: Settle) -> None:
    size = Size.chosen(short_blows=2)
    count = 2 if Size.is_long() else 1
    async with Trial.of("followers killed", servers, tmp_path, size, workers=count, followers=count) as trial:
        assert trial.following is not None
        fleet = trial.following.fleet

        async def kill(rng: random.Random) -> None:
            for name in rng.sample(fleet.names, rng.randint(1, count)):
                await fleet.kill(name)
                await fleet.hire()

        await trial.inject(kill)
        assert fleet.killed >= trial.size.blows
        settle(await trial.audit())
