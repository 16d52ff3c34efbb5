"""Connections to a PostgreSQL that takes none without TLS: what is verified, and what is said when it fails."""

from pathlib import Path
from typing import Any

import pytest

from eventstore import EventStoreError, Filter, StoreMisconfigured
from eventstore.postgres import PostgresEventStore, migrate, survey
from tests.integration.eventstore.staging import connected
from tests.support.fixtures.secured import WRONG_NAME, Secured


async def reach(url: str) -> None:
    async with PostgresEventStore.connect(url) as store:
        await store.append(())


async def refusal(url: str) -> str:
    """What every way to connect says, which is the same."""
    said = set()
    for way in (reach, survey, migrate):
        with pytest.raises(StoreMisconfigured) as raised:
            await way(url)
        said.add(str(raised.value))
    assert len(said) == 1
    return said.pop()


async def test_a_verified_server_is_used_over_tls(secured: Secured) -> None:
    url = secured.database(sslmode="verify-full", sslrootcert=secured.certificates.ca)
    await reach(url)
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


async def test_a_server_of_an_unknown_ca_is_refused(secured: Secured) -> None:
    url = secured.database(sslmode="verify-full", sslrootcert=secured.certificates.other_ca)
    assert "certificate is not accepted (self-signed certificate in certificate chain)" in await refusal(url)


async def test_a_server_of_another_name_is_refused(secured: Secured) -> None:
    url = secured.database(WRONG_NAME, sslmode="verify-full", sslrootcert=secured.certificates.ca)
    assert f"certificate is not valid for '{WRONG_NAME}'): name the CA" in await refusal(url)
    await reach(secured.database(WRONG_NAME, sslmode="verify-ca", sslrootcert=secured.certificates.ca))


async def test_a_connection_without_tls_is_refused_by_the_server(secured: Secured) -> None:
    assert "PostgreSQL refuses this user" in await refusal(secured.database(sslmode="disable"))


async def test_a_role_that_must_show_a_certificate_does(secured: Secured) -> None:
    files = secured.certificates
    files.key.chmod(0o600)
    verified: dict[str, Any] = {"login": secured.certified, "sslmode": "verify-full", "sslrootcert": files.ca}
    await reach(secured.database(**verified, sslcert=files.client, sslkey=files.key))
    with pytest.raises(EventStoreError, match="requires a valid client certificate"):
        await reach(secured.database(**verified))


async def test_a_key_that_psycopg_does_not_take_is_a_mistake_and_not_an_outage(secured: Secured) -> None:
    """Asyncpg takes it, and so the server is known to be there: waiting for it would be for nothing."""
    files = secured.certificates
    url = secured.database(
        login=secured.certified, sslmode="verify-full", sslrootcert=files.ca, sslcert=files.client, sslkey=files.key
    )
    files.key.chmod(0o644)
    with pytest.raises(StoreMisconfigured, match="has group or world access"):
        await PostgresEventStore.connect(url, driver="psycopg")
    files.key.chmod(0o600)
    async with PostgresEventStore.connect(url, driver="psycopg") as store:
        await store.append(())


async def test_renewed_files_are_read_for_the_next_connection(secured: Secured, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(secured.certificates.ca.read_bytes())
    async with PostgresEventStore.connect(secured.database(sslmode="verify-full", sslrootcert=file)) as store:
        await store.append(())
        file.write_bytes(secured.certificates.other_ca.read_bytes())
        await store._pools.forget_primary()
        with pytest.raises(StoreMisconfigured, match="not accepted"):
            await store.query(Filter.matching_any_event())
        file.write_bytes(secured.certificates.ca.read_bytes())
        await store.append(())


async def test_files_that_are_no_use_are_named(secured: Secured, tmp_path: Path) -> None:
    missing, garbage = tmp_path / "missing.pem", tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    ca, client = secured.certificates.ca, secured.certificates.client
    said = await refusal(secured.database(sslmode="verify-full", sslrootcert=missing))
    assert said.endswith(f"the file of sslrootcert, {missing}, cannot be read: No such file or directory")
    said = await refusal(secured.database(sslmode="verify-full", sslrootcert=garbage))
    assert said.endswith(f"the file of sslrootcert, {garbage}, holds no certificate in PEM form")
    said = await refusal(secured.database(sslmode="verify-full", sslrootcert=ca, sslcert=client, sslkey=garbage))
    assert f"the files of sslcert and sslkey, {client} and {garbage}, do not belong together" in said


async def test_a_file_that_a_variable_names_is_looked_at_too(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", str(secured.certificates.ca))
    await reach(secured.database(sslmode="verify-full"))
    monkeypatch.setenv("PGSSLROOTCERT", "/nowhere/ca.pem")
    assert "the file of sslrootcert, /nowhere/ca.pem, cannot be read" in await refusal(
        secured.database(sslmode="verify-full")
    )


async def test_variables_have_an_address_verified_that_says_nothing_of_it(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As an address does that an operator wrote.
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(secured.certificates.ca))
    await reach(secured.database())
    assert f"certificate is not valid for '{WRONG_NAME}'" in await refusal(secured.database(WRONG_NAME))
    monkeypatch.setenv("PGSSLROOTCERT", str(secured.certificates.other_ca))
    assert "certificate is not accepted" in await refusal(secured.database())
