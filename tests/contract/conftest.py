"""The stores under contract: what one promises, every one keeps."""

from collections.abc import AsyncIterator

import pytest

from eventstore import EventStore, MemoryEventStore
from tests.support.fixtures.databases import Database
from tests.support.stores import DRIVERS, POOLS, opened

PARTITIONED = "partitioned"
"""In partitions, and in another schema than the usual one."""
# Long enough for a query's answer, short enough to wait for in vain.
REACH_SECONDS = 0.05
FOLLOW_SECONDS = 0.01


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Put each store to the test: in memory, by each driver and, if that is asked for, over each kind of pool.

    A module may name fewer kinds in ``KINDS``.
    """
    if "kind" in metafunc.fixturenames:
        pools = POOLS if metafunc.config.getoption("--pools") else ()
        metafunc.parametrize("kind", getattr(metafunc.module, "KINDS", ["memory", *DRIVERS, PARTITIONED, *pools]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out further cases of a test by the drivers that are extras: they run the same SQL, and one finds a driver.

    With ``--pools``, as in the long form, all are there.
    """
    if config.getoption("--pools"):
        return
    seen: set[tuple[str, str]] = set()
    left: list[pytest.Item] = []
    for item in list(items):
        callspec = getattr(item, "callspec", None)
        kind = callspec.params.get("kind") if callspec is not None else None
        if kind not in DRIVERS[1:] or not isinstance(item, pytest.Function):
            continue
        name = (f"{item.path}::{item.originalname}", kind)
        if name in seen:
            left.append(item)
        seen.add(name)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


@pytest.fixture
def own_database(request: pytest.FixtureRequest, kind: str) -> Database | None:
    """The database of the store under test, None for the one without."""
    if kind == "memory":
        return None
    database = request.getfixturevalue("partitioned_database" if kind == PARTITIONED else "database")
    assert isinstance(database, Database)
    return database


@pytest.fixture
async def store(own_database: Database | None, kind: str) -> AsyncIterator[EventStore]:
    """An empty store, of each kind in turn."""
    if own_database is None:
        yield MemoryEventStore()
        return
    driver = DRIVERS[0] if kind == PARTITIONED else kind
    async with opened(
        driver,
        own_database.url,
        schema=own_database.schema,
        reach_seconds=REACH_SECONDS,
        follow_seconds=FOLLOW_SECONDS,
    ) as on_postgres:
        yield on_postgres
