"""``worker console`` as a process, with workers that report to it."""

import asyncio
import base64
import re
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.program import Worker, ended
from tests.support.fixtures.ports import free_port
from tests.support.fixtures.waiting import eventually
from worker.cli.pages import console_runs

PASSWORD = "twelve-and-more"


@asynccontextmanager
async def serving_console(worker: Worker, *arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """Start a console; yields it with its address."""
    async with worker.started("console", "--port", "0", *arguments) as process:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        (address,) = re.findall(r"^The console answers at (http://\S+/)", line)
        yield process, address


async def get(address: str, path: str = "/", **headers: str) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        parts = urlsplit(address)
        connection = HTTPConnection(parts.hostname or "", parts.port or 0, timeout=30)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, " ".join(re.sub(r"<[^>]*>", " ", response.read().decode()).split())
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def shows(address: str, text: str) -> None:
    async def is_shown() -> bool:
        return re.search(text, (await get(address))[1]) is not None

    await eventually(is_shown, what=f"the console to show {text}")


async def test_a_worker_is_seen_and_missed_when_it_is_killed(worker: Worker) -> None:
    worker = worker.having(WORKER_REPORT_INTERVAL="0.2")
    async with serving_console(worker) as (console, address):
        async with worker.started("run") as killed, worker.started("run") as stopped:
            await shows(address, rf"{killed.pid} consuming library")
            assert await console_runs(urlsplit(address).port or 0)
            await shows(address, rf"{stopped.pid} consuming library")
            killed.kill()
            stopped.terminate()
            assert (await ended(stopped)).status == 0
            await shows(address, rf"{stopped.pid} stopped")
            await shows(address, rf"{killed.pid} gone silent for")
        console.terminate()
        end = await ended(console)
        assert (end.status, "Traceback" in end.complaint) == (0, False), end


async def test_other_machines_are_answered_with_a_password_only(worker: Worker, tmp_path: Path) -> None:
    everywhere = ("--host", "0.0.0.0")  # noqa: S104  that is what is tested
    refused = (await worker("console", *everywhere)).mistake()
    assert "is open to other machines: set WORKER_CONSOLE_PASSWORD" in refused
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    protected = worker.having(WORKER_CONSOLE_PASSWORD_FILE=str(secret))
    async with serving_console(protected, *everywhere) as (console, address):
        local = address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104  as above
        login = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        assert (await get(local))[0] == 401
        assert await console_runs(urlsplit(local).port or 0)
        assert (await get(local, Authorization=f"Basic {login}"))[0] == 200
        assert (await get(local, Authorization=f"Basic {login}", Host="evil.example"))[0] == 421
        console.terminate()
        end = await ended(console)
        assert (end.status, "without encryption" in end.complaint) == (0, True)
        assert PASSWORD not in end.complaint


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (("--host", "nowhere.invalid"), {}, "--host nowhere.invalid is no address of this machine"),
        (("--port", "{taken}"), {}, "cannot be listened on (Address already in use); choose another with --port."),
        ((), {"WORKER_CONSOLE_PASSWORD": "short"}, "WORKER_CONSOLE_PASSWORD: it must have 12 characters at least"),
        ((), {"WORKER_REPORT_INTERVAL": "0.01"}, "WORKER_REPORT_INTERVAL: it must be 0, or between 0.1 and 60."),
        ((), {"AMQP_URL": ""}, "AMQP_URL is not set"),
    ],
)
async def test_a_mistake_is_told_in_a_sentence(
    arguments: tuple[str, ...], variables: dict[str, str], told: str
) -> None:
    port = free_port()
    worker = Worker({"AMQP_URL": "amqp://a:b@127.0.0.1:1/x", **variables})
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port):
        assert told in (await worker("console", *(each.format(taken=port) for each in arguments))).mistake()
