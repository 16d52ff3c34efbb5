"""Surroundings that are not as they should be: one sentence that says what to do, status 2, and nothing half done."""

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from eventstore import Event, Filter
from eventstore.postgres import PostgresEventStore
from handlers.library import domain as library
from tests.e2e.program import Worker
from tests.support.fixtures.administration import execute, on
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually

REGISTER = ("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}')
NOBODY = "postgresql://worker:secret@127.0.0.1:9/events"
NO_BROKER = "amqp://worker:secret@127.0.0.1:9/work"
_WRONG = "secret"
_NO_TLS = "what answers there takes no TLS"

Changes = dict[str, str]


def secretly(url: str, **parts: str) -> str:
    """Return an address with another password or path."""
    split = urlsplit(url)
    login, host = f"{split.username}:{parts.get('password', split.password)}", f"{split.hostname}:{split.port}"
    return split._replace(netloc=f"{login}@{host}", path=parts.get("path", split.path)).geturl()


def _elsewhere(environment: Mapping[str, str], name: str, *, to: str) -> str:
    """Return an address with the host and port of another."""
    place = urlsplit(environment[to]).netloc.rpartition("@")[2]
    split = urlsplit(environment[name])
    return split._replace(netloc=f"{split.netloc.rpartition('@')[0]}@{place}").geturl()


def _found(worker: Worker, database: Database, changes: Changes) -> Changes:
    """Make addresses of the words that stand for them."""
    made = dict(changes)
    for name, change in changes.items():
        match change:
            case "wrong password":
                # A variable that is not set yet gets the address of the variable for all.
                made[name] = secretly(worker.environment.get(name, database.url), password=_WRONG)
            case "missing":
                made[name] = secretly(worker.environment[name], path="/nowhere")
            case "unmigrated":
                made[name] = on(worker.environment[name], "postgres")
            case "the primary":
                made[name] = database.url
            case "over TLS":
                made[name] = f"{worker.environment[name]}?sslmode=require"
            case "a broker" | "a database":
                made[name] = _elsewhere(
                    worker.environment, name, to="AMQP_URL" if change == "a broker" else "DATABASE_URL"
                )
            case "an unknown setting":
                made[name] = f"{worker.environment[name]}?options=-c%20nothing_of_ours%3D1"
    return made


@pytest.mark.parametrize(
    ("arguments", "changes", "sentence"),
    [
        (
            ("run",),
            {"DATABASE_URL": NOBODY},
            r"PostgreSQL cannot be reached at 127.0.0.1:9: .*refused; start the database or correct .*",
        ),
        *(
            (
                arguments,
                {name: "wrong password"},
                rf"PostgreSQL refuses this password: check the credentials in {name} \(.*",
            )
            for arguments, name in (
                (("run",), "DATABASE_URL"),
                (("view", "book-copy", "b1"), "DATABASE_URL_LIBRARY"),
                (("run",), "DATABASE_URL_LIBRARY"),
                (("db", "migrate"), "DATABASE_ADMIN_URL"),
                (("follow",), "PROJECTIONS_URL"),
                (("projections", "list"), "PROJECTIONS_URL"),
            )
        ),
        *(
            (
                (command,),
                {"PROJECTIONS_URL": NOBODY},
                r"PostgreSQL cannot be reached at 127.0.0.1:9: .*; start the database or correct PROJECTIONS_URL\.",
            )
            for command in ("follow", "project")
        ),
        (
            ("run",),
            {"PGSERVICE": "nowhere"},
            r"the database address is not usable: there is no service 'nowhere' in .*",
        ),
        *(
            (
                ("events",),
                {"SSLKEYLOGFILE": "/nowhere/keys", "DATABASE_DRIVER": driver},
                r"a connection to PostgreSQL uses the file /nowhere/keys, which cannot be opened \(no such file or .*",
            )
            for driver in ("asyncpg", "sqlalchemy")
        ),
        *(
            (
                ("run",),
                {"DATABASE_DRIVER": "psycopg", variable: value},
                rf"the database address is not usable: connection .*{reason}.*",
            )
            for variable, value, reason in (
                ("PGOPTIONS", "-c nothing_of_ours=1", "unrecognized configuration parameter"),
                ("PGTZ", "Nowhere/Town", "TimeZone"),
            )
        ),
        *(
            (arguments, {name: "over TLS", "DATABASE_DRIVER": driver}, rf"{_NO_TLS}, .* turn on ssl at the server, .*")
            for driver in ("asyncpg", "psycopg", "sqlalchemy")
            for arguments, name in (
                (("run",), "DATABASE_URL"),
                (("events",), "DATABASE_URL"),
                (("db", "migrate"), "DATABASE_ADMIN_URL"),
            )
        ),
        (("run",), {"DATABASE_URL": "a broker"}, rf"{_NO_TLS}, or is no PostgreSQL: see the host and the port .*"),
        (("run",), {"AMQP_URL": "a database"}, r"RabbitMQ at .* connection ended before .* its port for AMQP, .*"),
        *(
            (
                ("events",),
                {"DATABASE_URL": "an unknown setting", "DATABASE_DRIVER": driver},
                r"the database address is not usable: the server refuses a setting in it, .*",
            )
            for driver in ("asyncpg", "psycopg", "sqlalchemy")
        ),
        (("run",), {"DATABASE_URL": "missing"}, r"the database named in DATABASE_URL does not exist: create it, or .*"),
        (
            ("run",),
            {"DATABASE_URL": "unmigrated"},
            r"the database has no event store yet, or an older one: run `worker db migrate` .*",
        ),
        (
            ("run",),
            {"AMQP_URL": NO_BROKER},
            r"RabbitMQ at 127.0.0.1:9 is out of reach: .*; start RabbitMQ or correct .*",
        ),
        (
            ("run",),
            {"AMQP_URL": "wrong password"},
            r"RabbitMQ at [\d.:]+ refuses the user name or password; correct .*",
        ),
        (
            ("run",),
            {"AMQP_URL": "missing"},
            r"RabbitMQ at [\d.:]+ refuses the virtual host \(.* not found\); create it, .*",
        ),
        (
            REGISTER,
            {"AMQP_URL": NO_BROKER},
            r"RabbitMQ at 127.0.0.1:9 is out of reach: .*; start RabbitMQ or correct .*",
        ),
        (
            REGISTER,
            {"AMQP_URL": "wrong password"},
            r"RabbitMQ at [\d.:]+ refuses the user name or password; correct .*",
        ),
        (
            REGISTER,
            {"AMQP_URL": "missing"},
            r"RabbitMQ at [\d.:]+ refuses the virtual host \(.* not found\); create it, .*",
        ),
        (
            REGISTER,
            {},
            r"no queue takes messages for commands:library: there is no such exchange; start a worker .*",
        ),
        (
            ("topology", "declare"),
            {"AMQP_URL": NO_BROKER},
            r"RabbitMQ at 127.0.0.1:9 is out of reach: .*; start RabbitMQ or correct .*",
        ),
        (
            ("status", "0" * 32),
            {"DATABASE_URL": NOBODY, "DATABASE_REPLICA_URLS": NOBODY},
            r"PostgreSQL cannot be reached at 127.0.0.1:9: .*",
        ),
        (
            ("status", "0" * 32),
            {"DATABASE_URL": "unmigrated"},
            r"the database has no event store yet, or an older one: .*",
        ),
        (
            ("db", "migrate"),
            {"DATABASE_ADMIN_URL": NOBODY},
            r"PostgreSQL cannot be reached at 127.0.0.1:9: .*correct DATABASE_ADMIN_URL\.",
        ),
    ],
)
async def test_what_is_wrong_is_told_in_one_sentence(
    worker: Worker, database: Database, arguments: tuple[str, ...], changes: Changes, sentence: str
) -> None:
    told = (await worker.having(**_found(worker, database, changes))(*arguments)).mistake()
    assert re.fullmatch(sentence, told)
    assert "secret" not in told


async def test_a_database_is_migrated_once(worker: Worker, database: Database) -> None:
    await execute(on(database.admin_url, "postgres"), f'CREATE DATABASE "{database.name}_bare"')
    bare = f"{database.name}_bare"
    migrating = worker.having(DATABASE_ADMIN_URL=on(database.admin_url, bare), DATABASE_URL=on(database.url, bare))
    try:
        unable = (await migrating.having(DATABASE_ADMIN_URL=on(database.url, bare))("db", "migrate")).mistake()
        assert re.match(
            r"the role of DATABASE_ADMIN_URL has no right to do this: name the database's owner there \(.*denied",
            unable,
        )
        wanted = await migrating("db", "migrate", "--dry-run")
        assert re.fullmatch(r"Would apply 0001 \w+(, \d{4} \w+)*: schema version 0 → \d+\.\n", wanted.output)
        # A dry run has done nothing: all of it is still to be done.
        done = await migrating("db", "migrate")
        assert done.output == wanted.output.replace("Would apply", "Applied")
        again = await migrating("db", "migrate", "--json")
        document = again.document()
        assert document["before"] == document["after"] > 0
        assert document["applied"] == []
        assert (wanted.status, done.status, again.status) == (0, 0, 0)
        checked = await migrating.having(DATABASE_REPLICA_URLS="")("check")
        assert checked.status == 0, checked.output
    finally:
        await execute(on(database.admin_url, "postgres"), f'DROP DATABASE "{bare}" WITH (FORCE)')


@pytest.mark.parametrize("primary", ["a standby", "away"])
async def test_what_only_reads_works_without_a_server_that_accepts_writes(
    worker: Worker, database: Database, primary: str
) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        key = uuid4()
        await store.append([Event(type="Seen", payload={"a": 1})], key=key)
    (replica,) = database.replica_urls

    async def is_there() -> bool:
        async with PostgresEventStore.connect(replica, writable=False) as copy:
            return (await copy.query(Filter.matching_any_event())).position.number == 1

    await eventually(is_there, what="the replica to have it")
    url = replica if primary == "a standby" else NOBODY
    without = worker.having(DATABASE_URL=url, DATABASE_REPLICA_URLS=replica)
    for arguments, shown in (
        (("events", "--json"), '"type":"Seen"'),
        (("status", str(key)), str(key)),
        (("db", "stats"), "events"),
    ):
        ended = await without(*arguments)
        assert (ended.status, shown in ended.output) == (0, True), ended
        why = "the server at [^ ]+ accepts no writes: it is a standby" if url == replica else "PostgreSQL cannot be"
        assert re.match(why, ended.complaint)
        assert "which may lag.\n" in ended.complaint
    if url == replica:
        told = (await without("run")).mistake()
        assert re.match(
            "the server at [^ ]+ accepts no writes: it is a standby, or default_transaction_read_only is on", told
        )
        assert told.endswith("; name the server that accepts writes.")


async def test_a_limit_of_connections_is_told_in_the_brokers_own_words(
    worker: Worker, vhost: str, management: Management
) -> None:
    limit = f"/api/vhost-limits{urlsplit(vhost).path}/max-connections"
    management.request("PUT", limit, {"value": 0})
    for arguments in (("run",), REGISTER):
        told = (await worker(*arguments)).mistake()
        assert "connection limit (0) is reached" in told
        assert told.endswith("; see the broker's limits, alarms and policies, and try again.")


async def test_a_check_finds_all_well(worker: Worker) -> None:
    end = await worker("check", "--json")
    assert end.status == 0, end
    # A console may run on this machine.
    findings = [finding for finding in end.document() if not finding["part"].startswith("page of")]
    parts = [finding["part"].split()[0] for finding in findings]
    assert parts == [
        "domains",
        "database",
        *["replica"] * parts.count("replica"),
        "admin",
        "broker",
        "queue",
        "policies",
        "followers",
    ]
    assert all(finding["good"] for finding in findings)
    assert findings[0]["text"] == f"library ({len(library.deciders)} commands)"
    assert findings[1]["text"].startswith("accepts appends, 0 events")
    assert findings[-3]["text"].startswith("not declared yet; `worker topology declare` declares it")
    assert findings[-2]["text"].startswith("not checked; set RABBITMQ_MANAGEMENT_URL ")


async def test_a_check_counts_what_waits_and_who_serves(served: Worker) -> None:
    assert (await served(*REGISTER, "--wait")).status == 0
    findings = (await served("check", "--json")).document()
    assert findings[1]["text"].startswith("accepts appends, 1 event,")
    assert findings[-3]["text"] == "0 waiting, 1 consumer, 0 to be retried, 0 dead letters"


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"AMQP_URL": NO_BROKER}, {"broker": r"RabbitMQ at 127.0.0.1:9 is out of reach: .*; start RabbitMQ .*\."}),
        (
            {"DATABASE_REPLICA_URLS": NOBODY},
            {"replica": r"PostgreSQL cannot be reached at 127.0.0.1:9: .*\. Until then, its reads go to the primary\."},
        ),
        (
            {"DATABASE_URL": "unmigrated", "DATABASE_ADMIN_URL": "unmigrated", "DATABASE_REPLICA_URLS": ""},
            {
                "database": r"the database has no event store yet, or an older one: run `worker db migrate` .*",
                "admin": r"schema version 0, this program needs \d+: run `worker db migrate`\.",
            },
        ),
        (
            {"WORKER_DOMAINS": "nowhere:domain", "DATABASE_REPLICA_URLS": "the primary", "AMQP_URL": ""},
            {
                "domains": r"WORKER_DOMAINS: nowhere cannot be imported: .*",
                "replica": r"it accepts writes, so it is not a replica; correct DATABASE_REPLICA_URLS\.",
                "broker": r"AMQP_URL is not set; give it the form .*\.",
            },
        ),
    ],
)
async def test_a_check_finds_what_is_wrong_and_goes_on(
    worker: Worker, database: Database, changes: Changes, wrong: dict[str, str]
) -> None:
    end = await worker.having(**_found(worker, database, changes))("check", "--json")
    assert (end.status, end.complaint) == (2, "")
    found = {finding["part"].split()[0]: finding["text"] for finding in end.document() if not finding["good"]}
    assert found.keys() == wrong.keys()
    assert all(re.fullmatch(wrong[part], text) for part, text in found.items()), found


@pytest.mark.parametrize(
    ("arguments", "connections"),
    [
        # The worker's and the administrator's address, and what followers need.
        (("check",), 3),
        # Whether it accepts appends, and what a survey finds.
        (("db", "check"), 2),
    ],
)
async def test_a_check_asks_silent_servers_at_the_same_time(
    worker: Worker, arguments: tuple[str, ...], connections: int
) -> None:
    """Else a person would wait for the timeouts of all of them."""
    asked: list[bytes] = []
    alive: list[bytes] = []
    all_asked, all_alive = asyncio.Event(), asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(4096))
        if len(asked) == connections:
            all_asked.set()
        await all_asked.wait()
        # There is no TLS. A client that still waits for this goes on without.
        writer.write(b"N")
        alive.extend([data] if (data := await reader.read(4096)) else [])
        if len(alive) == connections:
            all_alive.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as silent:
        url = f"postgresql://worker:secret@127.0.0.1:{silent.sockets[0].getsockname()[1]}/events"
        changes = {"DATABASE_URL": url, "DATABASE_ADMIN_URL": url, "DATABASE_REPLICA_URLS": ""}
        async with worker.having(**changes).started(*arguments) as process:
            await asyncio.wait_for(all_alive.wait(), 60)
            process.kill()
            await process.wait()


async def test_a_check_is_shown_to_people(worker: Worker) -> None:
    end = await worker.having(DATABASE_REPLICA_URLS=NOBODY)("check")
    assert (end.status, end.complaint) == (2, "")
    assert re.search(rf"^ok +domains +library \({len(library.deciders)} commands\)", end.output, re.MULTILINE)
    assert re.search(r"^WRONG +replica 127\.0\.0\.1:9/events +PostgreSQL cannot be", end.output, re.MULTILINE)
    assert "secret" not in end.output
