"""``worker events check``: what the domains cannot read is named before a release; and old events are decided on."""

import asyncio
import os
import pty
import re
from asyncio.subprocess import PIPE
from pathlib import Path

from eventstore import Event
from eventstore.postgres import PostgresEventStore
from tests.e2e.conftest import Serving
from tests.e2e.program import Worker
from tests.support.amqp_client import AmqpClient
from tests.support.domains.members import ADA, domain, first, next_release, second
from tests.support.fixtures.administration import on
from tests.support.fixtures.databases import Database
from tests.support.fixtures.ports import free_port
from tests.support.fork_server import Call, started
from worker.publisher import Publisher
from worker.topology import Topology

CLUB = "tests.support.domains.members:domain"
JOIN = '{"Member": "ada", "FirstName": "Ada", "LastName": "Lovelace"}'


async def record(database: Database, *events: Event) -> None:
    async with PostgresEventStore.connect(database.url, pool_size=1) as store:
        await store.append(events)


async def test_a_log_that_can_be_read_is_said_to_be(worker: Worker, database: Database) -> None:
    club = worker.having(WORKER_DOMAINS=CLUB)
    empty = await club("events", "check")
    assert (empty.status, empty.output, empty.complaint) == (0, "No event matches.\n", "")
    await record(database, first(), second(), domain.to_record(ADA, {}))
    # The replica may not be there yet.
    told, document = await asyncio.gather(
        club("events", "check", "--primary"), club("events", "check", "--primary", "--json")
    )
    assert (told.status, told.complaint) == (0, ""), told
    assert told.output.splitlines()[-1] == "3 events can be read."
    assert document.document() == {
        "events": 3,
        "unreadable": 0,
        "missed": 0,
        "types": [
            {
                "type": name,
                "version": version,
                "domain": "club",
                "events": 1,
                "unreadable": 0,
                "missed": 0,
                "first": None,
                "field": None,
                "reason": None,
            }
            for name, version in (("MemberJoined", 3), ("MemberSignedUp", 1), ("MemberSignedUp", 2))
        ],
    }


async def test_what_cannot_be_read_is_named_with_status_1(worker: Worker, database: Database) -> None:
    left = Event(type="MemberLeft", payload={"Member": 3})
    strange = Event(type="Strange", payload={"A": 1})
    await record(database, first(), left, first(name="Ada"), left, strange)
    club = worker.having(WORKER_DOMAINS=CLUB, DATABASE_REPLICA_URLS="")
    asked = {
        "": ["MemberLeft", "MemberSignedUp", "Strange"],
        "--ignore Strange": ["MemberLeft", "MemberSignedUp"],
        "--type MemberLeft": ["MemberLeft"],
        "--after 4": ["Strange"],
        "--type MemberSignedUp --type Strange --after 2": ["MemberSignedUp", "Strange"],
    }
    for words, types in asked.items():
        ended = await club("events", "check", "--json", *words.split())
        assert ended.status == 1, words
        found = {row["type"]: row for row in ended.document()["types"] if row["first"] is not None}
        assert sorted(found) == types, words
    told = await club("events", "check")
    assert (told.status, told.complaint) == (1, "")
    lines = told.output.splitlines()
    assert re.fullmatch(
        r"MemberLeft +1 +club +2 +2 +0 +2 +Member +Member: input should be a valid string", lines[1].strip()
    )
    assert re.fullmatch(
        r"MemberSignedUp +1 +club +2 +1 +0 +3 +the upcaster of MemberSignedUp from version 1 raised ValueError: .* at "
        r".*members\.py:\d+",
        lines[2].strip(),
    )
    assert lines[-1] == "4 of 5 events cannot be read, or would be missed by a filter."
    nothing = await club("events", "check", "--type", "Strange", "--ignore", "Strange")
    assert nothing.status == 0


async def test_a_name_that_nothing_has_is_told(worker: Worker, database: Database) -> None:
    await record(database, first())
    ended = await worker.having(WORKER_DOMAINS=CLUB)("events", "check", "--type", "MemberLef")
    assert (ended.status, ended.output) == (0, "No event matches.\n")
    assert ended.complaint == "No domain of WORKER_DOMAINS has the event type MemberLef; did you mean MemberLeft?\n"


async def test_a_replica_is_read_unless_the_primary_is_asked_for(
    worker: Worker, database: Database, template_database: str
) -> None:
    await record(database, first())
    # Another database, without events: that is how to see who answers.
    other = worker.having(WORKER_DOMAINS=CLUB, DATABASE_REPLICA_URLS=on(database.replica_urls[0], template_database))
    by_replica, by_primary = await asyncio.gather(
        other("events", "check", "--json"), other("events", "check", "--json", "--primary")
    )
    assert (by_replica.document()["events"], by_primary.document()["events"]) == (0, 1)


async def test_whichever_server_answers_is_read(worker: Worker, database: Database) -> None:
    await record(database, first())
    nobody = f"postgresql://worker@127.0.0.1:{free_port()}/club"
    club = worker.having(WORKER_DOMAINS=CLUB, DATABASE_REPLICA_URLS=nobody)
    by_primary = await club("events", "check", "--json")
    assert (by_primary.document()["events"], by_primary.complaint) == (1, "")
    # The replica may not be there yet: what it says is no matter.
    by_replica = await club.having(DATABASE_URL=nobody, DATABASE_REPLICA_URLS=database.replica_urls[0])(
        "events", "check", "--json"
    )
    assert (by_replica.status, by_replica.complaint) == (0, "")
    mistake = (await club.having(DATABASE_URL=nobody)("events", "check")).mistake()
    assert "start the database or correct" in mistake


async def test_progress_is_shown_at_a_terminal_alone(worker: Worker, database: Database) -> None:
    await record(database, *[first(str(number)) for number in range(2500)])
    club = worker.having(WORKER_DOMAINS=CLUB, DATABASE_REPLICA_URLS="", TERM="xterm", COLUMNS="120")
    keyboard, terminal = pty.openpty()
    try:
        call = Call(arguments=("events", "check", "--json"), environment=club.environment)
        process = await started(call, stdout=PIPE, stderr=terminal)
        output, _ = await process.communicate()
    finally:
        os.close(terminal)
    shown = os.read(keyboard, 100_000).decode()
    os.close(keyboard)
    assert process.returncode == 0
    assert b'"events": 2500' in output
    assert "reading" in shown


async def test_workers_decide_on_events_of_every_version_and_record_the_newest(
    worker: Worker, serving: Serving, database: Database
) -> None:
    await record(database, first("ada"), first("eve", name="Eve"))
    club = worker.having(WORKER_DOMAINS=CLUB)
    async with serving(club):
        known = await club("publish", "Join", JOIN, "--wait", "--json")
        new = await club("publish", "Join", JOIN.replace("ada", "bob"), "--wait", "--json")
        broken = await club("publish", "Join", JOIN.replace("ada", "eve"), "--wait", "--json")
    assert (known.document()["outcome"], new.document()["outcome"]) == ("unchanged", "accepted")
    # An upcaster that raises is a bug: it is told by the event's number and the line, and the command is kept.
    assert broken.document()["outcome"] == "failed"
    assert re.search(
        r"event 2 \(MemberSignedUp\) cannot be read: the upcaster of MemberSignedUp from version 1 raised ValueError: "
        r".*members\.py:\d+",
        broken.document()["reason"],
    )
    (event,) = (await club("events", "--type", "MemberJoined", "--json", "--metadata")).output.splitlines()
    assert '"event_version":3' in event


async def test_during_a_release_a_worker_leaves_to_the_next_one_what_it_cannot_read(
    worker: Worker, serving: Serving, database: Database, client: AmqpClient, tmp_path: Path
) -> None:
    await record(database, next_release.to_record(ADA, {}))
    club = worker.having(WORKER_DOMAINS=CLUB)
    async with Publisher.connect(worker.environment["AMQP_URL"]) as publisher:
        async with serving(club):
            answer = asyncio.create_task(publisher.request("club", "Join", JOIN.encode(), timeout=60))
            await client.holds(Topology("club").retry_queue, 1)
        log = tmp_path / "worker-1.log"
        assert ": newer_event" in log.read_text()
        async with serving(club.having(WORKER_DOMAINS=CLUB.replace(":domain", ":next_release"))):
            reply = await answer
    assert (reply.outcome, reply.duplicate) == ("unchanged", False)
