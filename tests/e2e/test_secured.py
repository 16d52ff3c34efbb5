"""Everything over TLS, with addresses from files: a worker as it is run where the network is not one's own."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Serving
from tests.e2e.program import Worker
from tests.support.fixtures.secured import WRONG_NAME, Secured

REGISTER = ("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}')


@pytest.fixture
def verified(secured: Secured, tmp_path: Path) -> Worker:
    """The command ``worker``, whose environment holds no password."""
    signed = secured.certificates
    database: dict[str, Any] = {"sslmode": "verify-full", "sslrootcert": signed.ca}
    addresses = {
        "DATABASE_URL": secured.database(
            login=secured.certified,
            **database,
            sslcert=signed.client,
            sslkey=signed.key,
        ),
        "DATABASE_ADMIN_URL": secured.database(login=secured.postgres.admin, **database),
        "AMQP_URL": secured.rabbit.amqps(cafile=signed.ca, certfile=signed.client, keyfile=signed.key),
    }
    for name, address in addresses.items():
        (tmp_path / name).write_text(f"{address}\n")
    files = {f"{name}_FILE": str(tmp_path / name) for name in addresses}
    return Worker({**files, "WORKER_DOMAINS": "handlers.library:domain"})


async def test_a_worker_serves_over_tls_with_addresses_from_files(
    verified: Worker, serving: Serving, secured: Secured
) -> None:
    migrated = await verified("db", "migrate")
    assert migrated.status == 0, migrated
    async with serving(verified):
        answer = await verified(*REGISTER, "--wait")
        assert (answer.status, answer.output[36:]) == (0, "  accepted, event 1\n"), answer
        found = await verified("check")
        assert found.status == 0, found
        sessions = secured.postgres.query(
            "SELECT DISTINCT usename, ssl, client_dn IS NOT NULL FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) "
            "WHERE application_name = 'worker (append 2)'",
            database="postgres",
        )
        assert sessions == "certified|t|t"
    role = next(part for part in (await verified("db", "check", "--json")).document() if part["part"] == "role")
    assert role["text"] == "certified may read and append, and nothing else"
    config = {row["name"]: row for row in (await verified("config", "--json")).document()}
    assert config["AMQP_URL"]["origin"] == f"file {verified.environment['AMQP_URL_FILE']}"
    assert "//worker:***@localhost:" in config["AMQP_URL"]["value"]


async def test_a_certificate_that_is_not_accepted_is_told_in_a_sentence(
    verified: Worker, secured: Secured, tmp_path: Path
) -> None:
    (tmp_path / "DATABASE_URL").write_text(secured.database(WRONG_NAME, sslmode="verify-full"))
    wrong = verified.having(PGSSLROOTCERT=str(secured.certificates.ca))
    refused = f"certificate is not accepted (IP address mismatch, certificate is not valid for '{WRONG_NAME}')"
    assert refused in (await wrong("run")).mistake()
    assert refused in (await wrong("status", "0f3fd1a5-6d3b-4f9a-9c36-8f0a3a6f1f11")).mistake()
    found = await wrong("db", "check", "--json")
    assert found.status == 2
    assert refused in found.document()[0]["text"]
    (tmp_path / "AMQP_URL").write_text(secured.rabbit.amqps(cafile=secured.certificates.other_ca))
    assert "its certificate is not accepted" in (await verified(*REGISTER)).mistake()
    (tmp_path / "AMQP_URL").write_text(secured.rabbit.amqps(cafile=secured.certificates.ca))
    assert "asks for a client certificate" in (await verified(*REGISTER)).mistake()
