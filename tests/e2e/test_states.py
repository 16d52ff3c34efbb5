"""``worker db states`` on a database in which states of views are stored."""

from eventstore import START, StateKey, StoredState
from eventstore.postgres import PostgresEventStore
from tests.e2e.program import Worker
from tests.support.fixtures.databases import Database

LIST, DROP = ("db", "states", "list"), ("db", "states", "drop")


async def stored(database: Database) -> None:
    """Store two states of one view, and one of another."""
    async with PostgresEventStore.connect(database.url) as store:
        for view, key in (("shelf", '["tea"]'), ("shelf", '["milk"]'), ("orders", "[]")):
            state = StateKey(domain="shop", view=view, version=1, key=key, filter_digest=b"")
            await store.store_state(StoredState(key=state, position=START, state=b'{"left":3}', events=0))


async def test_states_are_listed_then_dropped(worker: Worker, database: Database) -> None:
    empty = await worker(*LIST)
    assert (empty.status, empty.output) == (0, "No states are stored.\n")
    await stored(database)
    listed = (await worker(*LIST, "--json")).document()
    assert [(each["domain"], each["view"], each["version"], each["states"], each["bytes"]) for each in listed] == [
        ("shop", "orders", 1, 1, 10),
        ("shop", "shelf", 1, 2, 20),
    ]
    told = await worker(*LIST, "--view", "shelf")
    assert told.status == 0
    assert [line.split()[:4] for line in told.output.splitlines()] == [
        ["domain", "view", "version", "states"],
        ["shop", "shelf", "1", "2"],
    ]
    counted = await worker(*DROP, "--view", "shelf", "--dry-run")
    assert (counted.status, counted.output.splitlines()[-1]) == (0, "2 stored states of shop.shelf would be dropped.")
    # Nothing is dropped that nobody has agreed to.
    assert (await worker(*DROP, "--view", "shelf")).mistake().endswith("pass --yes, or --dry-run to count them.")
    dropped = await worker(*DROP, "--view", "shelf", "--yes")
    assert (dropped.status, dropped.output) == (0, "Dropped 2 stored states.\n")
    again = await worker(*DROP, "--view", "shelf", "--yes")
    assert (again.status, again.output) == (0, "No such states are stored.\n")
    assert (await worker(*DROP, "--all", "--yes", "--json")).document()["dropped"] == 1
    assert (await worker(*LIST, "--json")).document() == []


async def test_a_version_that_no_view_can_have_is_a_mistake(worker: Worker) -> None:
    for version in ("99999999999", "2147483648", "0"):
        wrong = await worker(*LIST, "--version", version)
        assert (wrong.status, wrong.output) == (2, "")
        assert "Invalid value for '--version'" in wrong.complaint
    found = await worker(*LIST, "--version", "2147483647")
    assert (found.status, found.output) == (0, "No such states are stored.\n")


async def test_the_role_of_workers_may_not_drop(worker: Worker, database: Database) -> None:
    await stored(database)
    mistake = (await worker.having(DATABASE_ADMIN_URL=database.url)(*DROP, "--all", "--yes")).mistake()
    assert mistake.startswith(
        "the role of DATABASE_ADMIN_URL has no right to do this: name the database's owner there ("
    )
    assert len((await worker(*LIST, "--json")).document()) == 2
