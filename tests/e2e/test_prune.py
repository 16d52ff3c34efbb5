"""``worker db prune`` on a database whose receipts have grown old."""

from uuid import uuid4

from tests.e2e.program import Worker
from tests.support.fixtures.administration import execute
from tests.support.fixtures.databases import Database

_OLD = """
INSERT INTO eventstore.receipts
SELECT gen_random_uuid(), '', 'unchanged', NULL, '{}', NULL, NULL, 0, 0, now() - make_interval(days => n)
FROM generate_series(1, 100) AS n
"""
PRUNE = ("db", "prune", "--older-than", "90d")


async def test_old_receipts_are_counted_then_deleted(worker: Worker, database: Database) -> None:
    await execute(database.admin_url, _OLD)
    counted = (await worker(*PRUNE, "--dry-run", "--json")).document()
    assert (counted["receipts"], counted["total"], counted["deleted"], counted["dry_run"]) == (11, 100, 0, True)
    told = await worker(*PRUNE, "--dry-run")
    assert told.status == 0
    assert told.output.startswith("11 of 100 receipts, recorded before ")
    assert told.output.endswith(" UTC, would be deleted.\n")
    # Nothing is deleted that nobody has agreed to.
    assert (await worker(*PRUNE)).mistake().endswith("pass --yes, or --dry-run to count them.")
    deleted = await worker(*PRUNE, "--yes")
    assert (deleted.status, deleted.output) == (0, "Deleted 11 receipts.\n")
    again = await worker(*PRUNE, "--yes")
    assert again.status == 0
    assert again.output.startswith("None of 89 receipts was recorded before ")


async def test_the_role_of_workers_may_not(worker: Worker, database: Database) -> None:
    await execute(database.admin_url, _OLD)
    mistake = (await worker.having(DATABASE_ADMIN_URL=database.url)(*PRUNE, "--yes")).mistake()
    assert mistake.startswith(
        "the role of DATABASE_ADMIN_URL has no right to do this: name the database's owner there ("
    )
    assert (await worker(*PRUNE, "--dry-run", "--json")).document()["receipts"] == 11


async def test_a_command_whose_receipt_is_gone_is_not_known(worker: Worker, database: Database) -> None:
    key = uuid4()
    await execute(database.admin_url, _OLD.replace("gen_random_uuid()", f"'{key}'").replace("1, 100", "100, 100"))
    assert (await worker("status", str(key))).status == 0
    assert (await worker(*PRUNE, "--yes", "--json")).document()["deleted"] == 1
    assert (await worker("status", str(key))).status == 1
