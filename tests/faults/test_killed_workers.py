"""Workers that end in the middle of their work, as by ``kill -9`` or for want of memory."""

import random
from pathlib import Path

from tests.faults.conftest import Settle
from tests.faults.size import Size
from tests.faults.trial import Ground, Trial


async def test_workers_are_killed(ground: Ground, tmp_path: Path, settle: Settle) -> None:
    async with Trial.of("workers killed", ground, tmp_path, Size.chosen()) as trial:

        async def kill(rng: random.Random) -> None:
            # One of the two, or both.
            for name in rng.sample(trial.fleet.names, rng.choice([1, 1, 2])):
                await trial.fleet.kill(name)
                await trial.fleet.hire()

        await trial.suffer(kill)
        assert trial.fleet.killed >= trial.size.blows
        settle(await trial.audit())
