"""Standard streams that are closed where a command starts, as some supervisors and scripts have them."""

import sys

import pytest

from tests.e2e.program import Worker, ended, started


@pytest.mark.parametrize(
    ("command", "closed", "status", "said"),
    [
        ("db check", "<&-", 0, "schema version"),
        ("db check", "2>&-", 0, "schema version"),
        ("db check", ">&-", 0, ""),
        ("db check", "<&- >&- 2>&-", 0, ""),
        ("publish RegisterReader -", "<&-", 2, ""),
    ],
)
async def test_no_connection_takes_the_place_of_a_stream_that_is_closed(
    worker: Worker, command: str, closed: str, status: int, said: str
) -> None:
    shell = ("bash", "-c", f"exec {sys.executable} -m worker {command} {closed}")
    async with started(*shell, environment=worker.environment) as process:
        end = await ended(process)
    assert end.status == status, end
    assert said in end.output
    assert "Traceback" not in end.complaint


@pytest.mark.parametrize("columns", ["0", "1", "20"])
async def test_a_narrow_terminal_loses_nothing_of_a_table(worker: Worker, columns: str) -> None:
    end = await worker.having(COLUMNS=columns)("config")
    # Also a word is broken there.
    assert "DATABASE_URL" in "".join(end.output.split()), end
