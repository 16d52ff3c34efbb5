"""A user's code that fails in every way there is, and takes its process along, beside commands of others."""

import asyncio
import itertools
import random
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from tests.faults.conftest import Settle
from tests.faults.size import Size
from tests.faults.trial import LIBRARY, Ground, Trial
from tests.support.domains.panicking import DEADLY, PANICS, Panic
from worker.publisher import Publisher

_DOMAIN = "tests.support.domains.panicking:domain"
_ANSWER_SECONDS = 120.0
_LOOK_SECONDS = 0.05
_BY_BUG, _BY_DEATH = "handler_error", "killed_its_process"


async def test_the_code_of_a_command_panics(ground: Ground, tmp_path: Path, settle: Settle) -> None:
    panics = [Panic(how=how) for how in PANICS]
    panics += [Panic(how="native panic", where=where) for where in ("parts", "evolve")]
    beyond = replace(ground, served=_DOMAIN)
    async with (
        Trial.of("user code panics", beyond, tmp_path, Size.chosen(short_blows=1)) as trial,
        Publisher.connect(ground.amqp_url) as publisher,
    ):

        async def panic(_: random.Random) -> None:
            async with asyncio.TaskGroup() as group:
                for command in panics:
                    group.create_task(_doom(trial, publisher, command, _BY_BUG))

        await trial.suffer(panic)
        figures = await trial.audit()
        # By the processes that began: none has ended, or been replaced.
        assert trial.report["dead_lettered"] == len(trial.doomed) == len(panics) * trial.size.blows
        settle(figures)


async def test_the_code_of_a_command_ends_its_process(ground: Ground, tmp_path: Path, settle: Settle) -> None:
    beyond = replace(ground, served=_DOMAIN)
    async with (
        Trial.of("user code ends its process", beyond, tmp_path, Size.chosen(short_blows=1)) as trial,
        Publisher.connect(ground.amqp_url) as publisher,
    ):
        ways = itertools.cycle(DEADLY)
        ended = 0

        async def end(_: random.Random) -> None:
            nonlocal ended
            told = asyncio.create_task(_doom(trial, publisher, Panic(how=next(ways)), _BY_DEATH))
            while not told.done():
                ended += await trial.fleet.replace_ended()
                await asyncio.wait({told}, timeout=_LOOK_SECONDS)
            await told

        await trial.suffer(end)
        # Two that had it, before it was tried apart from all others.
        assert ended >= 2 * trial.size.blows
        settle(await trial.audit())


async def _doom(trial: Trial, publisher: Publisher, command: Panic, reason: str) -> None:
    """Send a command that must become a dead letter, and wait until its sender is told so."""
    command_id = uuid4()
    trial.doomed[command_id] = reason
    reply = await publisher.request(
        LIBRARY.domain_name, type(command).__name__, command, command_id=command_id, timeout=_ANSWER_SECONDS
    )
    assert (reply.outcome, str(reply.reason).partition(":")[0]) == ("failed", reason)
