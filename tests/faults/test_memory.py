"""A worker's memory does not grow with the number of commands."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Settle
from tests.faults.size import Size
from tests.faults.trial import Servers, Trial

_SOME, _MANY = 10_000, 100_000
# The cache of states is bounded, and full long before the end: later growth would be a leak.
_MOST_BYTES_A_COMMAND = 600


@pytest.mark.skipif(not Size.is_long(), reason="only in the long form: 100,000 commands take minutes")
async def test_memory_does_not_grow_with_the_commands(
    servers: Servers, tmp_path: Path, settle: Settle, note_memory: Callable[[dict[str, int]], None]
) -> None:
    size = Size(commands=_MANY, blows=1, seed=1)
    async with Trial.of("none, 100,000 commands", servers, tmp_path, size) as trial:
        load, fleet = trial.load, trial.fleet
        load.allow(_SOME)
        await load.finish()
        some = fleet.memory()
        load.allow(_MANY - _SOME)
        await load.finish()
        many = fleet.memory()
        trial.over()
        figures = await trial.audit()
    note_memory({f"{_SOME:,}": some, f"{_MANY:,}": many})
    settle(figures)
    assert (many - some) * 1024 < _MOST_BYTES_A_COMMAND * (_MANY - _SOME), (some, many)
