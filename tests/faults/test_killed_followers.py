"""Processes that project, react, relay and send what is due, and end in the middle of it."""

import random
from pathlib import Path

from tests.faults.conftest import Settle
from tests.faults.size import Size
from tests.faults.trial import Ground, Trial


async def test_followers_are_killed(ground: Ground, tmp_path: Path, settle: Settle) -> None:
    size = Size.chosen(short_blows=2)
    count = 2 if Size.is_long() else 1
    async with Trial.of("followers killed", ground, tmp_path, size, workers=count, followers=count) as trial:
        assert trial.following is not None
        crew = trial.following.crew

        async def kill(rng: random.Random) -> None:
            for name in rng.sample(crew.names, rng.randint(1, count)):
                await crew.kill(name)
                await crew.hire()

        await trial.suffer(kill)
        assert crew.killed >= trial.size.blows
        settle(await trial.audit())
