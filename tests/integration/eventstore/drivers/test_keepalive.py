"""Keepalive: both ends of a connection find within a minute that the other one is gone."""

import os
import socket
from contextlib import suppress
from typing import Any, cast

import pytest

from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.dialing import Dialer
from eventstore.postgres.drivers.choice import DriverName, driver_named
from eventstore.postgres.drivers.protocol import Connection
from tests.integration.eventstore.staging import connected
from tests.support.fixtures.databases import Database
from tests.support.stores import DRIVERS

_SERVER = """
SELECT string_agg(current_setting('tcp_keepalives_' || s.name), ' ' ORDER BY s.place) AS found
FROM unnest(ARRAY['idle', 'interval', 'count']) WITH ORDINALITY AS s (name, place)
"""


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has each of the options")
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_connection_probes_a_silent_server_after_half_a_minute_and_gives_it_up_after_one(
    database: Database, driver: DriverName
) -> None:
    connection = await Dialer(Address.of(database.url), driver=driver_named(driver), purpose="test").dial()
    try:
        with socket.socket(fileno=os.dup(_descriptor(connection))) as its:
            assert its.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            assert [its.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [30, 10, 3, 60_000]
    finally:
        await connection.close(timeout=5)


async def test_an_administrators_session_lets_the_server_find_that_the_client_is_gone(database: Database) -> None:
    async with administrator(database.admin_url, purpose="test") as connection:
        (row,) = await connection.fetch(_SERVER)
        assert row["found"] == "30 10 3"


async def test_a_server_that_probes_sooner_keeps_its_own_settings(database: Database) -> None:
    async with connected(database.admin_url) as admin:
        for name, value in (("idle", 5), ("interval", 2), ("count", 9)):
            await admin.execute(f'ALTER DATABASE "{database.name}" SET tcp_keepalives_{name} = {value}')
        try:
            async with administrator(database.admin_url, purpose="test") as connection:
                (row,) = await connection.fetch(_SERVER)
                assert row["found"] == "5 2 3"
        finally:
            await admin.execute(f'ALTER DATABASE "{database.name}" RESET ALL')


def _descriptor(connection: Connection) -> int:
    """The descriptor of a connection's socket: no driver tells it in its protocol."""
    its = cast("Any", connection)
    with suppress(AttributeError):
        return int(its.native.pgconn.socket)
    return int(its._transport.get_extra_info("socket").fileno())
