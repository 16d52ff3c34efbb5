"""No password is printed, logged or sent on: neither one that a server refuses, nor one that it takes."""

import json
import signal
import sys
from urllib.parse import urlsplit

from tests.e2e.program import Worker, ended, started
from tests.support.amqp_client import AmqpClient

SECRET = "Hunter%2FTr0ub4dor"
COMMANDS = (
    ("run",),
    ("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}'),
    ("status", "0f3fd1a5-6d3b-4f9a-9c36-8f0a3a6f1f11"),
    ("check",),
    ("db", "check"),
    ("db", "migrate"),
    ("db", "prune", "--older-than", "90d", "--yes"),
    ("db", "states", "list"),
    ("db", "states", "drop", "--all", "--yes"),
    ("config",),
)
# A program that logs all there is to log, its libraries' doings too.
EMBEDDING = """
import asyncio, logging, sys
logging.basicConfig(level=logging.DEBUG)
from worker import process
from worker.settings import Settings
sys.exit(asyncio.run(process.run(Settings.load()), debug=True))
"""


def refused(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{SECRET}@{parts.hostname}:{parts.port}").geturl()


async def test_a_password_that_is_refused_is_not_shown(worker: Worker) -> None:
    wrong = worker.having(**{name: refused(url) for name, url in worker.environment.items() if name.endswith("_URL")})
    replicas = ",".join(refused(url) for url in worker.environment["DATABASE_REPLICA_URLS"].split(","))
    for given in (
        wrong,
        worker.having(DATABASE_REPLICA_URLS=replicas, AMQP_URL=refused(worker.environment["AMQP_URL"])),
    ):
        for arguments in COMMANDS:
            end = await given(*arguments)
            printed = end.output + end.complaint
            assert printed
            assert not [part for part in ("Hunter", "Tr0ub4dor", "Traceback") if part in printed], (arguments, printed)


async def test_a_worker_that_logs_everything_shows_no_password(worker: Worker, vhost: str) -> None:
    passwords = {str(urlsplit(url).password) for name, url in worker.environment.items() if name.endswith("_URL")}
    assert "None" not in passwords
    environment = worker.having(
        WORKER_DOMAINS="tests.support.domains.tally:domain", WORKER_RETRY_DELAY="0.05"
    ).environment
    async with (
        started(sys.executable, "-c", EMBEDDING, environment=environment) as process,
        AmqpClient.open(vhost) as client,
    ):
        assert process.stderr is not None
        logged = b""
        while b"consuming tally.commands" not in logged:
            line = await process.stderr.readline()
            assert line, logged
            logged += line
        await client.put(json.dumps({"Key": "k"}).encode(), message_type="Explode", reply_to=client.replies)
        assert (await client.answer())["outcome"] == "failed"
        letter = await client.take("tally.commands.dead")
        process.send_signal(signal.SIGTERM)
        end = await ended(process)
    assert end.status == 0
    shown = logged.decode() + end.complaint + end.output + str(letter.headers)
    assert "DEBUG:aiormq" in shown  # it does log everything
    assert "ZeroDivisionError" in str(letter.headers["worker-traceback"])
    assert not [password for password in passwords if password in shown]
