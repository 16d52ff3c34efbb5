"""The event store without the workers' dependencies, and without drivers that are not used."""

import subprocess
import sys

import pytest

from eventstore import StoreMisconfigured
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.drivers.choice import DriverName

_OF_WORKERS = ("aio_pika", "aiormq", "grpc", "typer", "rich", "tenacity", "requests", "uvloop", "opentelemetry.sdk")
_OF_EXTRAS = ("psycopg", "psycopg_pool", "sqlalchemy", "greenlet")
_ALONE = """
import asyncio, sys

for name in sys.argv[1:]:
    sys.modules[name] = None  # to import it is an error

from eventstore import Event, Filter, MemoryEventStore
from eventstore.postgres import PostgresEventStore, migrate

async def used():
    store = MemoryEventStore()
    await store.append([Event(type="Counted", payload={})])
    print(len((await store.query(Filter.matching_any_event())).events))

asyncio.run(used())
"""


def test_the_store_does_not_import_the_workers_dependencies() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _ALONE, *_OF_WORKERS, *_OF_EXTRAS], capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == ("1", "")


@pytest.mark.parametrize("driver", ["psycopg", "sqlalchemy"])
async def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch, driver: DriverName) -> None:
    for name in [driver, *(name for name in sys.modules if name.startswith(f"{driver}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"eventstore.postgres.drivers.{driver}", raising=False)
    with pytest.raises(StoreMisconfigured) as raised:
        await PostgresEventStore.connect("postgresql://localhost/a", driver=driver)
    assert str(raised.value).endswith(f"pip install 'dynamic-streams-worker[{driver}]'")
    assert "\n" not in str(raised.value)


async def test_an_unknown_driver_is_named() -> None:
    with pytest.raises(StoreMisconfigured, match="no driver is called 'pg8000': name one of asyncpg, psycopg, sqlalch"):
        await PostgresEventStore.connect("postgresql://localhost/a", driver="pg8000")  # type: ignore[arg-type]  # an unknown driver
