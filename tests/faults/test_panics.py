"""Domain code that fails in every way, or ends its process, beside other commands."""

import asyncio
import itertools
import random
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from tests.faults.conftest import Settle
from tests.faults.size import Size
from tests.faults.trial import LIBRARY, Servers, Trial
from tests.support.domains.panicking import DEADLY, PANICS, Panic
from worker.publisher import Publisher

_DOMAIN = "tests.support.domains.panicking:domain"
_ANSWER_SECONDS = 120.0
_LOOK_SECONDS = 0.05
_BY_BUG, _BY_DEATH = "handler_error", "killed_its_process"


async def test_the_code_of_a_command_panics(servers: Servers, tmp_path: Path, settle: Settle) -> None:
    panics = [Panic(how=how) for how in PANICS]
    panics += [Panic(how="native panic", where=where) for where in ("parts", "evolve")]
    panicking = replace(servers, served=_DOMAIN)
    async with (
        Trial.of("user code panics", panicking, tmp_path, Size.chosen(short_blows=1)) as trial,
        Publisher.connect(servers.amqp_url) as publisher,
    ):

        async def panic(_: random.Random) -> None:
            async with asyncio.TaskGroup() as group:
                for command in panics:
                    group.create_task(_expect_dead_letter(trial, publisher, command, _BY_BUG))

        await trial.inject(panic)
        figures = await trial.audit()
        # Counted by the original processes: none has ended and been replaced.
        assert trial.report["dead_lettered"] == len(trial.expected_dead) == len(panics) * trial.size.blows
        settle(figures)


async def test_the_code_of_a_command_ends_its_process(servers: Servers, tmp_path: Path, settle: Settle) -> None:
    panicking = replace(servers, served=_DOMAIN)
    async with (
        Trial.of("user code ends its process", panicking, tmp_path, Size.chosen(short_blows=1)) as trial,
        Publisher.connect(servers.amqp_url) as publisher,
    ):
        ways = itertools.cycle(DEADLY)
        ended = 0

        async def end(_: random.Random) -> None:
            nonlocal ended
            told = asyncio.create_task(_expect_dead_letter(trial, publisher, Panic(how=next(ways)), _BY_DEATH))
            while not told.done():
                ended += await trial.fleet.replace_ended()
                await asyncio.wait({told}, timeout=_LOOK_SECONDS)
            await told

        await trial.inject(end)
        # Two processes, before the command was decided in isolation.
        assert ended >= 2 * trial.size.blows
        settle(await trial.audit())


async def _expect_dead_letter(trial: Trial, publisher: Publisher, command: Panic, reason: str) -> None:
    """Send a command that must become a dead letter, and wait for the reply that says so."""
    command_id = uuid4()
    trial.expected_dead[command_id] = reason
    reply = await publisher.request(
        LIBRARY.domain_name, type(command).__name__, command, command_id=command_id, timeout=_ANSWER_SECONDS
    )
    assert (reply.outcome, str(reply.reason).partition(":")[0]) == ("failed", reason)
