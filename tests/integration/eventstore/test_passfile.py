"""A password that lies in a password file, as PostgreSQL's own programs read it."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from eventstore import StoreMisconfigured
from eventstore.postgres import PostgresEventStore
from tests.support.fixtures.databases import Database


async def test_an_address_without_a_password_finds_it_in_a_password_file(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(database.url)
    bare = parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}").geturl()
    file = tmp_path / "pgpass"
    file.write_text(f"{parts.hostname}:{parts.port}:*:{parts.username}:{parts.password}\n")
    file.chmod(0o600)

    async def reach(url: str) -> None:
        async with PostgresEventStore.connect(url) as store:
            await store.append(())

    with pytest.raises(StoreMisconfigured, match="PostgreSQL refuses this password"):
        await reach(bare)
    await reach(f"{bare}?passfile={file}")
    monkeypatch.setenv("PGPASSFILE", str(file))
    await reach(bare)
