"""The broker's configuration and definitions of ``compose.yaml``, imported by a real RabbitMQ."""

import urllib.error
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest

from deploy.local.account import Account
from deploy.local.broker import RabbitServer
from deploy.local.ports import LOOPBACK
from deploy.local.postgres import Login
from deploy.local.reaper_client import ReaperClient
from tests.support.composition import ROOT, composition, example_environment
from tests.support.fixtures.vhosts import Management
from worker.amqp.declaration import declare
from worker.publisher import Publisher
from worker.topology import Topology

_DEFINITIONS = "/etc/rabbitmq/definitions.json"


class ComposedBroker(RabbitServer):
    """A broker with the configuration that ``compose.yaml`` mounts; only addresses and paths differ."""

    def __init__(self, reaper: ReaperClient, composed: dict[str, Any]) -> None:
        super().__init__(reaper, login=Login("admin", example_environment()["RABBITMQ_ADMIN_PASSWORD"]))
        self._definitions = composed["configs"]["rabbitmq-definitions"]["content"]

    def _configuration(self) -> str:
        mounted = (ROOT / "deploy/rabbitmq/rabbitmq.conf").read_text(encoding="utf-8")
        assert _DEFINITIONS in mounted
        definitions = self._home / "definitions.json"
        self._reaper.write(definitions, self._definitions)
        addresses = f"management.tcp.ip = {LOOPBACK}\nmanagement.tcp.port = {self.management_port}\n"
        return mounted.replace(_DEFINITIONS, str(definitions)) + addresses


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    return composition(example_environment())


@pytest.fixture(scope="module")
def broker(composed: dict[str, Any]) -> Iterator[ComposedBroker]:
    reaper = ReaperClient(Account.for_servers())
    try:
        server = ComposedBroker(reaper, composed)
        server.start()
        yield server
        server.stop()
    finally:
        reaper.close()


@pytest.fixture
def amqp_url(broker: ComposedBroker, composed: dict[str, Any]) -> str:
    """The address that workers are given, at this broker's port."""
    parts = urlsplit(composed["services"]["worker"]["environment"]["AMQP_URL"])
    return str(parts._replace(netloc=f"{parts.username}:{parts.password}@{LOOPBACK}:{broker.port}").geturl())


async def test_workers_can_declare_and_publish(amqp_url: str) -> None:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await declare(channel, Topology("library"))
        async with Publisher.connect(amqp_url) as publisher:
            command_id = await publisher.publish("library", "RegisterReader", b"{}")
        queue = await channel.get_queue("library.commands")
        message = await queue.get()
        assert message is not None
        assert message.message_id == str(command_id)
        await message.ack()


def test_nothing_but_the_definitions_is_there(broker: ComposedBroker) -> None:
    management = Management(broker.management_url)
    assert {user["name"] for user in management.request("GET", "/api/users")} == {"admin", "worker"}
    assert {vhost["name"] for vhost in management.request("GET", "/api/vhosts")} == {"dynamic_streams"}


def test_workers_do_not_administer(broker: ComposedBroker) -> None:
    login = f"worker:{example_environment()['RABBITMQ_WORKER_PASSWORD']}"
    management = Management(f"http://{login}@{LOOPBACK}:{broker.management_port}")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        management.request("GET", "/api/users")
    refusal.value.close()
    assert refusal.value.code == 401


@pytest.mark.parametrize("login", ["guest:guest", "worker:guessed"])
async def test_nobody_else_enters(amqp_url: str, login: str) -> None:
    parts = urlsplit(amqp_url)
    with pytest.raises(aio_pika.exceptions.ProbableAuthenticationError):
        await aio_pika.connect(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}").geturl())
