"""The runner, with publishers that answer when the test lets them."""

import asyncio
import random
from typing import Any, cast

from tests.unit.worker.tally import Count
from worker.load.runner import Runner
from worker.publisher import Publisher


class Silent:
    """Takes every command, and never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def request(self, *_: Any, **__: Any) -> None:
        self.asked.set()
        await asyncio.Event().wait()


async def test_a_run_that_is_cancelled_leaves_no_copy_behind() -> None:
    publisher, copier = Silent(), Silent()
    runner = Runner(
        cast("Publisher", publisher),
        cast("Publisher", copier),
        "tally",
        copied=2.0,  # twice certain: half of that is the share whose copy goes out at the same time
        rng=random.Random(1),  # noqa: S311  a workload, not a secret
    )
    run = asyncio.create_task(runner.load([Count(key="a")], total=1))
    await asyncio.gather(publisher.asked.wait(), copier.asked.wait())
    run.cancel()
    await asyncio.wait({run})
    assert run.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
