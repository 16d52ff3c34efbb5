"""Commands that are delivered more than once."""

from pathlib import Path

from tests.faults.conftest import Settle
from tests.faults.size import Size
from tests.faults.trial import Servers, Trial


async def test_every_command_is_delivered_three_times(servers: Servers, tmp_path: Path, settle: Settle) -> None:
    size = Size.chosen(short_blows=1, most_blows=1)
    async with Trial.of("every command three times", servers, tmp_path, size, copies=3) as trial:

        async def nothing_else(_: object) -> None:
            return

        await trial.inject(nothing_else)
        figures = await trial.audit()
        settle(figures)
        assert trial.report["duplicate"] == 2 * figures.commands
