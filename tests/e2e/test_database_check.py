"""``worker db check``: each thing that can be wrong with a database is found, alone, and said with what to do."""

import re

import pytest

from tests.e2e.program import Worker
from tests.support.fixtures.administration import execute
from tests.support.fixtures.databases import Database

PRIMARY = [
    "database",
    "schema",
    "role",
    "isolation",
    "durability",
    "indexes",
    "guard",
    "log",
    "partitions",
    "archive",
    "retention",
    "connections",
    "pooler",
]


async def test_all_is_well(worker: Worker, database: Database) -> None:
    end = await worker("db", "check", "--json")
    assert end.status == 0, end
    findings = end.document()
    replicas = ["replica", "connections"] * len(database.replica_urls)
    assert [finding["part"].split()[0] for finding in findings] == PRIMARY + replicas
    assert all(finding["good"] for finding in findings)
    (budget,) = [finding["text"] for finding in findings if finding["part"] == "connections"]
    assert re.fullmatch(r"\d+, enough for \d+ worker processes of 10 each", budget)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("ALTER DATABASE {0} SET default_transaction_isolation = 'serializable'", {"isolation": "ALTER DATABASE"}),
        ("ALTER DATABASE {0} SET synchronous_commit = off", {"database": "ALTER", "durability": "ALTER DATABASE"}),
        ("ALTER INDEX eventstore.events_payload SET (fastupdate = on)", {"indexes": r"fastupdate = off"}),
        ("ALTER INDEX eventstore.events_payload RESET (fastupdate)", {"indexes": r"fastupdate = off"}),
        ("DROP INDEX eventstore.events_type", {"indexes": "events_type: missing or not valid"}),
        ("ALTER TABLE eventstore.events DISABLE TRIGGER events_are_facts", {"guard": "run `worker db migrate`"}),
        ("ALTER TABLE eventstore.events ENABLE TRIGGER events_are_facts", {"guard": "run `worker db migrate`"}),
        ("ALTER TABLE eventstore.events ENABLE TRIGGER event_is_a_fact", {"guard": "run `worker db migrate`"}),
        (
            "INSERT INTO eventstore.receipts VALUES (gen_random_uuid(), '', 'accepted', '', '{{}}', 1, 1, 7, 7, now())",
            {"database": "to events that the log does not have", "log": "restore into an empty database"},
        ),
        (
            "INSERT INTO eventstore.events VALUES (7, 7, 'Lost', now(), '{{}}', '{{}}')",
            {"database": "begins with event 7", "log": "begins with event 7"},
        ),
        ("GRANT DELETE ON eventstore.receipts TO eventstore_runtime", {"role": "by hand"}),
        (
            "REVOKE EXECUTE ON FUNCTION eventstore.append_v3 FROM eventstore_runtime",
            {"database": "lacks a right", "role": "GRANT eventstore_runtime TO worker"},
        ),
        ("UPDATE eventstore.schema_version SET version = 1", {"database": "db migrate", "schema": "db migrate"}),
    ],
)
async def test_what_is_wrong_is_found(worker: Worker, database: Database, change: str, wrong: dict[str, str]) -> None:
    await execute(database.admin_url, change.format(f'"{database.name}"'))
    end = await worker.having(DATABASE_REPLICA_URLS="")("db", "check", "--json")
    assert (end.status, end.complaint) == (2, "")
    found = {finding["part"].split()[0]: finding["text"] for finding in end.document() if not finding["good"]}
    assert found.keys() == wrong.keys(), found
    assert all(re.search(wrong[part], text) for part, text in found.items()), found


async def test_a_database_that_is_not_there_is_one_finding(worker: Worker) -> None:
    end = await worker.having(
        DATABASE_URL="postgresql://worker:secret@127.0.0.1:9/events",
        DATABASE_REPLICA_URLS="postgresql://worker:secret@127.0.0.1:9/events",
    )("db", "check")
    assert (end.status, end.complaint) == (2, "")
    assert re.search(r"^WRONG +database 127\.0\.0\.1:9/events +PostgreSQL cannot be", end.output, re.MULTILINE)
    assert re.search(r"^WRONG +replica 127\.0\.0\.1:9/events +PostgreSQL cannot be", end.output, re.MULTILINE)
    assert "secret" not in end.output
