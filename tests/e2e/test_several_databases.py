"""Commands of people where two domains have a database each: which one is meant, and that each is named."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.e2e.conftest import Serving
from tests.e2e.letters import put_dead_letter
from tests.e2e.program import Ended, Worker
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.administration import execute, on
from tests.support.fixtures.databases import TENANT, Database

DOMAINS = "handlers.library:domain,handlers.warehouse:domain"
ADA = ("RegisterReader", '{"ReaderID": "ada", "Name": "Ada"}')
TEA = ("ReceivePieces", '{"Delivery": "d1", "Product": "tea", "Pieces": 5}')
_OLD = """
INSERT INTO eventstore.receipts
SELECT gen_random_uuid(), '', 'unchanged', NULL, '{}', NULL, NULL, 0, 0, now() - make_interval(days => 100)
"""


@pytest.fixture
def both(worker: Worker, other: Database) -> Worker:
    return worker.having(
        WORKER_DOMAINS=DOMAINS,
        DATABASE_URL_WAREHOUSE=other.url,
        DATABASE_REPLICA_URLS_WAREHOUSE=",".join(other.replica_urls),
        DATABASE_ADMIN_URL_WAREHOUSE=other.admin_url,
    )


async def test_a_domain_s_store_is_in_another_schema_of_the_same_database(worker: Worker, database: Database) -> None:
    both = worker.having(WORKER_DOMAINS=DOMAINS, DATABASE_SCHEMA_WAREHOUSE=TENANT)
    missing = (await both("db", "stats", "--domain", "warehouse")).mistake()
    assert missing.startswith(f"the database has no event store in the schema {TENANT} yet, or an older one: run ")
    migrated = await both("db", "migrate")
    assert migrated.status == 0, migrated
    assert f"warehouse ({urlsplit(database.url).netloc.rpartition('@')[2]}/{database.name}, schema {TENANT}):" in (
        migrated.output
    )
    assert migrated.output.count("there is nothing to apply.") == 1
    await execute(database.admin_url, f'GRANT {TENANT}_runtime TO "{urlsplit(database.url).username}"')
    found = {each["part"]: each for each in (await both("db", "check", "--json")).document()}
    assert {name for name, each in found.items() if not each["good"]} == set()
    assert {"role of library", "role of warehouse"} <= found.keys()
    refused = (await worker.having(DATABASE_SCHEMA="a_reading")("db", "stats")).mistake()
    assert refused.startswith("DATABASE_SCHEMA: the schema 'a_reading' could belong to another store: ")


@asynccontextmanager
async def closed(database: Database) -> AsyncIterator[None]:
    """The server lets nobody into the database."""
    server = on(database.admin_url, "postgres")
    await execute(server, f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS false')
    try:
        yield
    finally:
        await execute(server, f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS true')


def named(end: Ended, database: Database, other: Database) -> None:
    """Both databases are told of, in the domains' order, each under its name."""
    heads = [line for line in end.output.splitlines() if line.endswith("):")]
    assert [line.partition(" (")[0] for line in heads] == ["library", "warehouse"], end
    assert [line.rpartition("/")[2] for line in heads] == [f"{database.name}):", f"{other.name}):"], end


async def published(worker: Worker, *command: str) -> str:
    end = await worker("publish", *command, "--wait", "--json")
    assert end.status == 0, end
    return str(end.document()["command_id"])


async def test_what_is_published_is_found_in_the_domain_s_own_database(
    both: Worker, other: Database, serving: Serving
) -> None:
    async with serving(both):
        ada, tea = await published(both, *ADA), await published(both, *TEA)
    # Each log begins with its own first event.
    for command_id, domain in ((ada, "library"), (tea, "warehouse")):
        found = (await both("status", command_id, "--json")).document()
        assert (found["domain"], [event["sequence_number"] for event in found["events"]]) == (domain, [1])
        assert (await both("status", command_id, "--domain", domain)).status == 0
    assert (await both("status", tea, "--domain", "library")).status == 1

    asked = (await both("events")).mistake()
    assert asked.startswith(
        "there are several databases, each with a log of its own: choose one with --domain, of library "
    )
    for domain, event_type in (("library", "ReaderRegistered"), ("warehouse", "PiecesReceived")):
        end = await both("events", "--domain", domain, "--json")
        assert [json.loads(line)["type"] for line in end.output.splitlines()] == [event_type], end
        end = await both("events", "--domain", domain, "--json", "--replica")
        assert end.status == 0, end
    assert (await both("view", "shelf", "tea")).document() == 5
    assert (await both("view", "shelf", "tea", "--domain", "warehouse", "--replica")).status == 0
    mistake = (await both.having(DATABASE_REPLICA_URLS_WAREHOUSE="")("view", "shelf", "tea", "--replica")).mistake()
    assert mistake.startswith("DATABASE_REPLICA_URLS_WAREHOUSE is not set; ")

    # Of a store that does not answer, nothing is known; what another one has is told all the same.
    async with closed(other):
        end = await both("status", ada, "--json")
        assert (end.status, end.document()["domain"]) == (0, "library")
        assert end.complaint.startswith("warehouse (")
        assert "cannot be read: " in end.complaint
        assert (await both("status", str(uuid4()))).mistake().startswith("warehouse (")
        assert (await both("status", str(uuid4()), "--domain", "library")).status == 1


async def test_administration_goes_through_all_databases_and_names_each(
    both: Worker, database: Database, other: Database
) -> None:
    migrated = await both("db", "migrate")
    assert migrated.status == 0, migrated
    named(migrated, database, other)
    assert migrated.output.count("there is nothing to apply.") == 2
    documents = (await both("db", "migrate", "--json")).document()
    assert [each["domains"] for each in documents] == [["library"], ["warehouse"]]
    assert (await both("db", "migrate", "--domain", "warehouse", "--json")).document()["applied"] == []
    missing = (await both.having(DATABASE_ADMIN_URL_WAREHOUSE="")("db", "migrate")).mistake()
    assert missing.startswith("DATABASE_ADMIN_URL_WAREHOUSE is not set; ")

    for each in (database, other, other):
        await execute(each.admin_url, _OLD)
    wrong = both.having(DATABASE_ADMIN_URL_WAREHOUSE=other.url)
    mistake = (await wrong("db", "prune", "--older-than", "90d", "--yes", "--domain", "warehouse")).mistake()
    assert mistake.startswith("the role of DATABASE_ADMIN_URL_WAREHOUSE has no right to do this: ")
    counted = (await both("db", "prune", "--older-than", "90d", "--dry-run", "--json")).document()
    assert [each["receipts"] for each in counted] == [1, 2]
    deleted = await both("db", "prune", "--older-than", "90d", "--yes", "--domain", "warehouse")
    assert deleted.output == "Deleted 2 receipts.\n"
    pruned = await both("db", "prune", "--older-than", "90d", "--yes")
    named(pruned, database, other)
    assert "Deleted 1 receipt." in pruned.output

    assert (await both("db", "states", "list", "--json")).document() == []
    assert (await both("db", "states", "drop", "--domain", "warehouse", "--yes")).status == 0


async def test_inspections_look_at_all_databases(both: Worker, database: Database, other: Database) -> None:
    stats = await both("db", "stats")
    assert stats.status == 0, stats
    named(stats, database, other)
    documents = (await both("db", "stats", "--json")).document()
    assert [each["address"].rpartition("/")[2] for each in documents] == [database.name, other.name]
    assert (await both("db", "stats", "--domain", "warehouse", "--json")).document()["database"]["head"] == 0

    found = {each["part"]: each for each in (await both("db", "check", "--json")).document()}
    assert {"guard of library", "guard of warehouse"} <= found.keys()
    # Both databases are on one server: what one process opens there is added up.
    assert " worker processes of 20 each" in found["connections of library"]["text"]
    assert " worker processes of 20 each" in found["connections of warehouse"]["text"]
    only = {each["part"] for each in (await both("db", "check", "--domain", "warehouse", "--json")).document()}
    assert "guard" in only
    async with closed(other):
        bad = [each for each in (await both("db", "check", "--json")).document() if not each["good"]]
        assert {each["part"].rpartition(" of ")[2] for each in bad} == {"warehouse"}
        checked = (await both("check", "--json")).document()
        wrong = [each["part"] for each in checked if not each["good"] and "database" in each["part"]]
        assert [part.rpartition(" of ")[2] for part in wrong] == ["warehouse", "warehouse"]
    parts = {each["part"] for each in (await both("check", "--domain", "library", "--json")).document()}
    assert "queue library.commands" in parts
    assert "queue warehouse.commands" not in parts


async def test_the_settings_of_one_domain_are_shown_without_secrets(both: Worker) -> None:
    secret = both.having(
        DATABASE_URL_WAREHOUSE="postgresql://app:Hunter2@db/w?sslpassword=Hunter2", DATABASE_URL_X="a:b"
    )
    end = await secret("config", "--json")
    assert "Hunter2" not in end.output
    rows = {row["name"]: row for row in end.document()}
    assert rows["DATABASE_URL_WAREHOUSE"] == {
        "name": "DATABASE_URL_WAREHOUSE",
        "value": "postgresql://app:***@db/w?sslpassword=***",
        "unit": "",
        "origin": "environment",
        "meaning": "The primary database, with a role that may read and append; for the domain warehouse.",
    }
    assert rows["DATABASE_URL_X"]["meaning"].endswith("; for a domain that is not served: it is not read.")
    names = [row["name"] for row in (await secret("config", "--domain", "warehouse", "--json")).document()]
    assert "DATABASE_URL_WAREHOUSE" in names
    assert "DATABASE_URL" not in names
    library = [row["name"] for row in (await secret("config", "--domain", "library", "--json")).document()]
    assert "DATABASE_URL" in library
    assert "DATABASE_URL_WAREHOUSE" not in library
    for arguments in (
        ("status", str(uuid4())),
        ("check",),
        ("db", "check"),
        ("db", "stats"),
        ("db", "migrate"),
    ):
        end = await secret.having(DATABASE_ADMIN_URL_WAREHOUSE="postgresql://o:Hunter2@127.0.0.1:9/w")(*arguments)
        assert "Hunter2" not in end.output + end.complaint, arguments


async def test_a_mistake_in_a_domain_s_name_is_told_before_anything_is_done(both: Worker) -> None:
    misspelt = both.having(DATABASE_URL_WAREHUOSE="postgresql://db/w", DATABASE_URL_WAREHOUSE="")
    misspelt = misspelt.having(DATABASE_REPLICA_URLS_WAREHOUSE="", DATABASE_ADMIN_URL_WAREHOUSE="")
    sentence = (
        "DATABASE_URL_WAREHUOSE is for no domain that is served (did you mean DATABASE_URL_WAREHOUSE?); correct it, or "
        "unset it."
    )
    for arguments in (("run",), ("db", "stats"), ("status", str(uuid4())), ("events", "--domain", "library")):
        assert (await misspelt(*arguments)).mistake() == sentence
    mistake = (await both("db", "check", "--domain", "warehuose")).mistake()
    assert (
        mistake
        == "there is no domain 'warehuose' in WORKER_DOMAINS; did you mean warehouse? It names library, warehouse."
    )


@pytest.mark.usefixtures("queues")
async def test_a_dead_letter_is_judged_by_the_receipts_of_its_own_database(
    both: Worker, database: Database, other: Database, client: AmqpClient
) -> None:
    """That receipts of the warehouse were deleted is no reason to leave a letter of the library."""
    prune = ("db", "prune", "--older-than", "90d", "--yes", "--domain")
    replay = ("dead-letters", "replay", "--all", "--yes", "--json")
    await put_dead_letter(client, timestamp=datetime.now(UTC) - timedelta(days=101))
    for each, domain, end in ((other, "warehouse", "replayed"), (database, "library", "left")):
        await execute(each.admin_url, _OLD)
        assert (await both(*prune, domain)).output == "Deleted 1 receipt.\n"
        found = (await both(*replay, "--dry-run")).document()
        assert found["left"] == ({} if end == "replayed" else {"forgotten": 1}), found
    assert (await both(*replay, "--domain", "library")).document()["left"] == {"forgotten": 1}
    # A store that does not answer cannot say what it has forgotten.
    async with closed(other):
        assert (await both(*replay)).mistake().startswith("warehouse (")
        assert (await both(*replay, "--domain", "library")).document()["left"] == {"forgotten": 1}
