"""Dead letters of the library, put in their queue by hand, and a person who is asked what to do with them."""

import json
import os
import pty
from asyncio.subprocess import PIPE
from typing import Any

from tests.e2e.program import Ended, Worker
from tests.support.amqp_client import AmqpClient
from tests.support.dead_letters import failure_headers
from tests.support.fork_server import Call, started
from worker.topology import Topology

LIBRARY = Topology("library")
DEAD, WORK = LIBRARY.dead_queue, LIBRARY.queue
ADA = b'{"ReaderID": "ada", "Name": "Ada Lovelace"}'


async def put_dead_letter(client: AmqpClient, body: bytes = ADA, **properties: Any) -> str:
    """Put a message among the dead letters."""
    chosen = {"message_type": "RegisterReader", "headers": failure_headers()} | properties
    return await client.put(body, exchange="", routing_key=DEAD, **chosen)


async def put_dead_letters(client: AmqpClient, count: int, **properties: Any) -> list[str]:
    """Put good commands of different readers among the dead letters."""
    readers = [json.dumps({"ReaderID": f"r{number}", "Name": "R"}).encode() for number in range(count)]
    return [await put_dead_letter(client, reader, **properties) for reader in readers]


def listed(listing: Ended) -> list[str]:
    """Return the ids that a list shows, in its order."""
    assert listing.status == 0, listing
    return [letter["id"] for letter in listing.document()["letters"]]


async def asked(worker: Worker, *arguments: str, answer: str) -> Ended:
    """Run a command at a terminal and type an answer."""
    keyboard, terminal = pty.openpty()
    try:
        call = Call(arguments=("dead-letters", *arguments), environment=worker.environment)
        process = await started(call, stdin=terminal, stdout=PIPE, stderr=PIPE)
        os.write(keyboard, f"{answer}\n".encode())
        output, complaint = await process.communicate()
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert process.returncode is not None
    # What asks prints a blank to standard output, whatever it is told.
    return Ended(status=process.returncode, output=output.decode().lstrip(), complaint=complaint.decode())
