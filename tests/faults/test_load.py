"""The load of the trials: it learns the answer of every command, by a reply or a receipt."""

from functools import partial
from itertools import repeat
from uuid import UUID

import pytest

from handlers.library import domain as library
from handlers.library.register_reader import RegisterReader
from tests.faults.load import Load
from tests.faults.trial import LIBRARY
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from worker.amqp.declaration import declare
from worker.message import Reply


async def test_a_late_reply_answers_a_command(database: Database, vhost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every reply is late from now on.
    monkeypatch.setattr("tests.faults.load._REPLY_SECONDS", 0.0)
    commands = repeat(RegisterReader(reader_id="reader", name="Ada"))
    async with AmqpClient.open(vhost) as client:
        await declare(client.channel, LIBRARY)
        async with Load.through(vhost, database.url, library.name, commands) as load:
            load.allow(1)
            command = await client.take(LIBRARY.queue)
            command_id = UUID(command.message_id)
            await eventually(partial(_is_confirmed, load, command_id), what="the command to be confirmed")
            # As after a failover that lost the receipt.
            reply = Reply(command_id=command_id, outcome="accepted")
            await client.put(reply.to_json(), exchange="", routing_key=str(command.reply_to), message_type="reply")
            await load.finish()
            assert load.answered == {command_id}
            assert load.replies == {command_id: [reply]}


async def _is_confirmed(load: Load, command_id: UUID) -> bool:
    return command_id in load.sent_at
