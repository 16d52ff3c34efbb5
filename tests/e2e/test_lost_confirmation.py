"""A command whose confirmation is lost: a person is told how to send it again, and it takes effect once."""

import re
from uuid import UUID

from tests.e2e.program import Worker
from tests.support.tcp_proxy import CONFIRMATION, proxy

ADD = ("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}')
TOLD = re.compile(
    r"worker: RabbitMQ at \S+ did not answer in time; start RabbitMQ or correct AMQP_URL\.\n"
    r"The command may have been stored nevertheless; to send it again without a second effect, "
    r"pass --id (?P<id>\S+)\.\n"
)


async def test_it_is_sent_again_with_its_id_and_takes_effect_once(served: Worker) -> None:
    async with proxy(served.environment["AMQP_URL"]) as way:
        process = served.having(AMQP_URL=way.url)
        way.drops = CONFIRMATION
        # Long enough to connect and to have it stored, also on a busy machine.
        lost = await process(*ADD, "--timeout", "3")
    assert (lost.status, lost.output) == (2, "")
    told = TOLD.fullmatch(lost.complaint)
    assert told is not None, lost.complaint
    assert str(UUID(told["id"])) == told["id"]
    again = await served(*ADD, "--id", told["id"], "--wait")
    assert again.output.startswith(f"{told['id']}  accepted, event 1, answered before")
    assert len((await served("events", "--json")).output.splitlines()) == 1
