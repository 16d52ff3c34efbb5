"""Messages that try to be more than data: SQL, formats, lines of a log, orders to a terminal."""

import json
import signal
from typing import Any
from uuid import uuid4

from tests.e2e.program import Worker, ended, said
from tests.support.amqp_client import AmqpClient

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\n\u2028\u202e"
FORGED = f'{ESCAPES}{{"level": "error", "message": "forged"}} %s %(message)s {{0}} {{__class__}}'
SQL = "'; DROP TABLE eventstore.events; -- \" $1 $$ \\"


def seen(text: str) -> bool:
    """Whether a program's output has nothing in it but lines of what can be seen."""
    return text.replace("\n", "").isprintable()


async def test_what_a_message_brings_stays_data(worker: Worker, vhost: str) -> None:
    tally = worker.having(WORKER_DOMAINS="tests.support.domains.tally:domain", WORKER_RETRY_DELAY="0.05")
    key = f"{SQL}{FORGED}"
    body = json.dumps({"Key": key, "Limit": 1}).encode()
    first, second, unknown, exploding = (str(uuid4()) for _ in range(4))
    async with tally.started("run") as process, AmqpClient.open(vhost) as client:
        await said(process, b"consuming tally.commands")
        common: dict[str, Any] = {
            "reply_to": client.replies,
            "correlation_id": FORGED,
            "headers": {FORGED: SQL, "causation-id": FORGED},
        }
        await client.put(body, message_id=first, **common)
        assert (await client.answer())["outcome"] == "accepted"
        await client.put(body, message_id=second, **common)
        assert (await client.answer())[
            "outcome"
        ] == "rejected"  # it is the same key, and the first event is found by it
        await client.put(body, message_id=f"{SQL}{FORGED}"[:250], **common)
        await client.put(body, message_id=unknown, message_type=FORGED, **common)
        await client.put(body, message_id=exploding, message_type="Explode", **common)
        # Whoever sent what is no command is told by the correlation id alone.
        assert {(await client.answer())["command_id"] for _ in range(3)} == {None, unknown, exploding}
        letters = {letter.message_id: letter for letter in [await client.take("tally.commands.dead") for _ in range(3)]}
        process.send_signal(signal.SIGTERM)
        end = await ended(process)
    assert end.status == 0
    # One line a record, none of them from a message.
    assert seen(end.complaint)
    records = [json.loads(line) for line in end.complaint.splitlines()]
    assert all({"time", "level", "logger", "message"} <= record.keys() for record in records)
    assert "forged" not in {record["message"] for record in records}
    assert sum(record["message"].startswith("dead letter: ") for record in records) == 3
    # What is sent on is the same message still, with our reasons beside its own headers.
    assert letters[exploding].headers[FORGED] == SQL
    assert letters[exploding].correlation_id == FORGED
    # An error is one line.
    assert " ".join(key.split()) in str(letters[exploding].headers["worker-error"])
    for command_id, outcome in ((first, "accepted"), (second, "rejected")):
        people, program = await tally("status", command_id), await tally("status", command_id, "--json")
        assert seen(people.output), people.output
        assert "\\u001b[2J" in people.output  # as JSON writes it
        assert seen(program.output), program.output
        told = program.document()
        assert (told["outcome"], told["correlation_id"]) == (outcome, FORGED)
        assert told["events"][0]["payload"]["Key"] == key
