"""What ``worker check`` says of commands that no queue gets: who consumes is told nothing of that by the broker."""

import pytest

from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.vhosts import Management
from worker.amqp.connection import Link
from worker.amqp.declaration import declare
from worker.cli.findings import Finding
from worker.cli.inspection import inspect
from worker.settings import Settings
from worker.topology import Topology

TALLY = Topology("tally")


@pytest.mark.parametrize("lost", ["binding", "exchange"])
async def test_a_check_says_that_no_command_reaches_a_queue(vhost: str, management: Management, lost: str) -> None:
    checking = Settings(
        amqp_url=vhost,
        worker_domains="tests.support.domains.tally:domain",
        rabbitmq_management_url=management.address,
    )

    async def wrong() -> list[Finding]:
        return [each for each in await inspect(checking) if each.part == "exchange commands"]

    link = Link(vhost, name="queues of a test", prepare=lambda channel: declare(channel, TALLY))
    await link.wire()
    await link.close()
    assert await wrong() == []
    async with AmqpClient.open(vhost) as client:
        if lost == "binding":
            await (await client.channel.get_queue(TALLY.queue, ensure=False)).unbind(TALLY.exchange, TALLY.routing_key)
        else:
            await client.channel.exchange_delete(TALLY.exchange)
    (found,) = await wrong()
    assert not found.good
    assert found.text.startswith("no command reaches tally.commands: the exchange commands is gone, or what binds")
