"""The published test suite of the package ``eventsourcing`` for DCB recorders, on each engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from eventsourcing.dcb.tests import DCBRecorderTestCase

from eventstore import EventStore, MemoryEventStore
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.drivers.choice import DriverName
from tests.conformance.recorder import Recorder
from tests.support.fixtures.databases import Database
from tests.support.stores import DRIVERS

CASES = [name for name in dir(DCBRecorderTestCase) if name.startswith("_test_")]


@asynccontextmanager
async def in_memory() -> AsyncIterator[EventStore]:
    yield MemoryEventStore()


@asynccontextmanager
async def on_postgres(url: str, driver: str) -> AsyncIterator[EventStore]:
    async with PostgresEventStore.connect(url, driver=cast("DriverName", driver)) as store:
        yield store


@pytest.fixture(params=["memory", *DRIVERS])
def opening(request: pytest.FixtureRequest) -> object:
    if request.param == "memory":
        return in_memory()
    database = request.getfixturevalue("database")
    assert isinstance(database, Database)
    return on_postgres(database.url, request.param)


@pytest.mark.parametrize("case", CASES)
def check_the_recorder_passes(case: str, opening: object) -> None:
    recorder = Recorder(opening)  # type: ignore[arg-type]  # one of the two above
    try:
        getattr(DCBRecorderTestCase(), case)(recorder)
    finally:
        recorder.close()
