"""Workers that are killed while they work, as by ``kill -9`` or for lack of memory."""

import random
from pathlib import Path

from tests.faults.conftest import Settle
from tests.faults.size import Size
from tests.faults.trial import Servers, Trial


async def test_workers_are_killed(servers: Servers, tmp_path: Path, settle: Settle) -> None:
    async with Trial.of("workers killed", servers, tmp_path, Size.chosen()) as trial:

        async def kill(rng: random.Random) -> None:
            # One worker or both.
            for name in rng.sample(trial.fleet.names, rng.choice([1, 1, 2])):
                await trial.fleet.kill(name)
                await trial.fleet.hire()

        await trial.inject(kill)
        assert trial.fleet.killed >= trial.size.blows
        settle(await trial.audit())
