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


@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize("command", ["topology declare", "dead-letters list", "db migrate", "events check"])
async def test_an_output_that_cannot_be_written_is_no_failure_of_a_server(worker: Worker, command: str) -> None:
    # As in containers: it is written at once, not at the end.
    environment = {**worker.environment, "PYTHONUNBUFFERED": "1"}
    shell = ("bash", "-c", f"exec {sys.executable} -m worker {command} >/dev/full")
    async with started(*shell, environment=environment) as process:
        end = await ended(process)
    assert end.mistake() == "the output cannot be written: No space left on device."


@pytest.mark.parametrize("columns", ["0", "1", "20"])
async def test_a_narrow_terminal_loses_nothing_of_a_table(worker: Worker, columns: str) -> None:
    end = await worker.having(COLUMNS=columns)("config")
    # Also a word is broken there.
    assert "DATABASE_URL" in "".join(end.output.split()), end
