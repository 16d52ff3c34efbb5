"""The service file with real servers: every driver connects to the server, and as the role, that a service names."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from eventstore.postgres import PostgresEventStore
from eventstore.postgres.drivers.choice import DriverName
from tests.support.fixtures.databases import Database
from tests.support.stores import DRIVERS


@pytest.mark.parametrize("by", ["address", "variable"])
@pytest.mark.parametrize("driver", DRIVERS)
async def test_each_driver_connects_to_the_service(
    database: Database, driver: DriverName, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(database.url)
    file = tmp_path / "services"
    file.write_text(
        f"[events]\nhost={parts.hostname}\nport={parts.port}\nuser={parts.username}\npassword={parts.password}\n"
        f"dbname={database.name}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    url = "postgresql:///?service=events"
    if by == "variable":
        monkeypatch.setenv("PGSERVICE", "events")
        url = "postgresql:///"
    async with PostgresEventStore.connect(url, driver=driver) as store:
        assert (await store.position()).number == 0
