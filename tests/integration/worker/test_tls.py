"""Connections to a RabbitMQ that demands certificates: what is verified, and what is said when it fails."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.fixtures.secured import RIGHT_NAME, WRONG_NAME, Secured
from tests.support.tcp_proxy import proxy
from worker.amqp import connection, frame_writer
from worker.amqp.connection import Link
from worker.amqp.sender import Sender
from worker.amqp.tls import SERVER_NAME
from worker.errors import BrokerMisconfigured, BrokerUnavailable


@pytest.fixture
def known(secured: Secured) -> dict[str, Any]:
    """All that the broker's port for TLS demands."""
    files = secured.certificates
    return {"cafile": files.ca, "certfile": files.client, "keyfile": files.key}


async def reach(url: str) -> None:
    sender = Sender(url, name="TLS")
    try:
        await sender.open()
    finally:
        await sender.close()


async def refusal(url: str) -> str:
    with pytest.raises(BrokerMisconfigured) as raised:
        await reach(url)
    return str(raised.value)


async def test_a_verified_broker_is_used(secured: Secured, known: dict[str, Any]) -> None:
    await reach(secured.rabbit.amqps(**known))


async def test_a_broker_of_an_unknown_ca_is_refused(secured: Secured, known: dict[str, Any]) -> None:
    other = known | {"cafile": secured.certificates.other_ca}
    assert "its certificate is not accepted (self-signed" in await refusal(secured.rabbit.amqps(**other))
    # Nor do the system's CAs know it.
    del other["cafile"]
    assert "its certificate is not accepted" in await refusal(secured.rabbit.amqps(**other))


async def test_a_broker_of_another_name_is_refused_unless_that_is_the_one_expected(
    secured: Secured, known: dict[str, Any]
) -> None:
    said = await refusal(secured.rabbit.amqps(WRONG_NAME, **known))
    assert f"certificate is not valid for '{WRONG_NAME}'" in said
    assert SERVER_NAME in said
    await reach(secured.rabbit.amqps(WRONG_NAME, **known, **{SERVER_NAME: RIGHT_NAME}))
    assert "not valid for 'elsewhere'" in await refusal(secured.rabbit.amqps(**known, **{SERVER_NAME: "elsewhere"}))


async def test_a_certificate_that_the_broker_demands_is_asked_for(secured: Secured, known: dict[str, Any]) -> None:
    assert "certfile" in await refusal(secured.rabbit.amqps(cafile=known["cafile"]))


@pytest.mark.parametrize("text", ["false", "no", "0", ""])
async def test_verification_is_given_up_on_demand_only(secured: Secured, known: dict[str, Any], text: str) -> None:
    other = known | {"cafile": secured.certificates.other_ca}
    assert "not accepted" in await refusal(secured.rabbit.amqps(**other, no_verify_ssl=text))
    await reach(secured.rabbit.amqps(WRONG_NAME, **other, no_verify_ssl="1"))
    assert "no_verify_ssl must be 1 or 0" in await refusal(secured.rabbit.amqps(**other, no_verify_ssl="perhaps"))


async def test_renewed_files_are_read_for_the_next_connection(
    secured: Secured, known: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(secured.certificates.other_ca.read_bytes())
    sender = Sender(secured.rabbit.amqps(**known | {"cafile": file}), name="TLS")
    with pytest.raises(BrokerMisconfigured, match="not accepted"):
        await sender.open()
    file.write_bytes(secured.certificates.ca.read_bytes())
    await sender.open()
    await sender.close()


async def test_a_port_of_the_other_kind_is_told(secured: Secured, known: dict[str, Any]) -> None:
    rabbit = secured.rabbit
    said = await refusal(rabbit.amqps(**known).replace(f":{rabbit.tls_port}/", f":{rabbit.port}/"))
    assert "check whether its port speaks TLS" in said
    with pytest.raises(BrokerUnavailable, match="whether that takes TLS, which amqps:// asks for"):
        await reach(rabbit.amqps().replace("amqps://", "amqp://"))


async def test_parameters_that_ask_for_tls_are_not_passed_over(secured: Secured, known: dict[str, Any]) -> None:
    plain = secured.rabbit.amqps(**known).replace("amqps://", "amqp://")
    assert await refusal(plain) == "AMQP_URL: cafile, certfile, keyfile asks for TLS; begin it with amqps://"


async def test_files_that_are_no_use_are_named(secured: Secured, known: dict[str, Any], tmp_path: Path) -> None:
    missing, garbage = tmp_path / "missing.pem", tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    url = secured.rabbit.amqps
    assert await refusal(url(**known | {"cafile": missing})) == (
        f"AMQP_URL: cafile={missing} cannot be read: No such file or directory"
    )
    assert await refusal(url(**known | {"cafile": garbage})) == (
        f"AMQP_URL: cafile={garbage} holds no certificate, in PEM form"
    )
    assert "cannot be read: No such file" in await refusal(url(**known | {"keyfile": missing}))
    assert "are no certificate and its key" in await refusal(url(**known | {"keyfile": known["cafile"]}))
    assert "holds no certificate" in await refusal(url(cadata="%%"))
    del known["certfile"]
    assert "keyfile is named without certfile" in await refusal(url(**known))


# Half a minute is how long a stream under TLS waits for the farewell of the other side.
_SECONDS = 20.0


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_CLOSE_SECONDS", 0.5)
    monkeypatch.setattr(connection, "_LONGEST_DELAY", 0.5)
    monkeypatch.setattr(frame_writer, "_CLOSE_SECONDS", 0.5)


@pytest.mark.usefixtures("_impatient")
async def test_a_broker_that_goes_silent_is_not_waited_for_at_a_close(secured: Secured, known: dict[str, Any]) -> None:
    async with proxy(secured.rabbit.amqps(**known, **{SERVER_NAME: RIGHT_NAME})) as way:
        link = Link(way.url, name="TLS")
        await link.wire()
        way.hold()
        async with asyncio.timeout(_SECONDS):
            await link.close()


@pytest.fixture
async def mute(secured: Secured) -> AsyncIterator[int]:
    """The port of a server that agrees on TLS, and then says nothing."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(secured.certificates.server, secured.certificates.server_key)
    met: list[asyncio.StreamWriter] = []

    def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # What nobody reads holds no farewell that would be answered.
        cast("asyncio.Transport", writer.transport).pause_reading()
        met.append(writer)

    async with await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        for each in met:
            each.transport.abort()


@pytest.mark.usefixtures("_impatient")
async def test_another_attempt_does_not_wait_for_a_broker_that_went_silent_while_it_connected(
    secured: Secured, known: dict[str, Any], mute: int
) -> None:
    troubles = asyncio.Semaphore(0)
    url = secured.rabbit.amqps(**known).replace(f":{secured.rabbit.tls_port}/", f":{mute}/")
    link = Link(url, name="TLS", on_trouble=lambda _: troubles.release())
    connecting = asyncio.create_task(link.wire())
    try:
        async with asyncio.timeout(_SECONDS):
            await troubles.acquire()
            await troubles.acquire()
    finally:
        connecting.cancel()
        async with asyncio.timeout(_SECONDS):
            await asyncio.gather(connecting, return_exceptions=True)
            await link.close()
