"""Commands that people type, against a worker that serves: what goes out, what comes back, what is told of it."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.program import Worker
from worker.amqp.backlog import backlog
from worker.topology import Topology

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ADA = '{"ReaderID": "ada", "Name": "Ada Lovelace"}'


def line(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}) + "\n"


async def test_a_command_is_answered_and_its_answer_stays_on_record(served: Worker) -> None:
    first = await served("publish", "RegisterReader", ADA, "--wait")
    assert first.status == 0, first
    assert re.fullmatch(rf"({UUID})  accepted, event 1\n", first.output)
    command_id = first.output.split()[0]

    status, document, again = await asyncio.gather(
        served("status", command_id),
        served("status", command_id, "--json"),
        # From standard input, with spaces around: it is the same command.
        served("publish", "RegisterReader", "-", "--id", command_id.upper(), "--wait", stdin=f"\n {ADA}\n"),
    )
    assert status.status == 0
    assert f"RegisterReader {command_id}" in status.output
    assert "accepted" in status.output
    assert re.search(r'^ *1 +ReaderRegistered +Name="Ada Lovelace" ReaderID="ada"$', status.output, re.MULTILINE)
    told = document.document()
    assert (told["command_id"], told["command_type"]) == (command_id, "RegisterReader")
    assert (told["outcome"], told["attempts"], told["correlation_id"]) == ("accepted", 1, command_id)
    (event,) = told["events"]
    assert (event["sequence_number"], event["type"]) == (1, "ReaderRegistered")
    assert event["payload"] == {"ReaderID": "ada", "Name": "Ada Lovelace"}
    assert (again.status, again.output) == (0, f"{command_id}  accepted, event 1, answered before\n")


async def test_each_outcome_is_told_to_people_and_to_programs(served: Worker) -> None:
    command_id = str(uuid4())
    await served("publish", "RegisterReader", ADA, "--id", command_id, "--wait")
    lend = ("publish", "LendBookCopyToReader", '{"BookID": "b", "ReaderID": "ada"}', "--wait")
    rejected, unchanged, reused = await asyncio.gather(
        served(*lend),
        served("publish", "RegisterReader", ADA, "--wait", "--json"),
        served("publish", "RegisterReader", '{"ReaderID": "bob", "Name": "Bob"}', "--id", command_id, "--wait"),
    )
    # A refusal is an answer like any other.
    assert rejected.status == 0
    assert rejected.output[36:] == "  rejected: book is not in circulation, event 2\n"
    assert unchanged.status == 0
    document = unchanged.document()
    assert {key: document[key] for key in ("outcome", "reason", "first", "last", "duplicate")} == {
        "outcome": "unchanged",
        "reason": None,
        "first": None,
        "last": None,
        "duplicate": False,
    }
    # The id has its answer; another command under it fails, and whoever waits is told.
    assert reused.status == 1
    assert reused.output.startswith(f"{command_id}  failed: ")
    missing = await served("status", str(uuid4()))
    assert missing.status == 1
    assert "is recorded" in missing.output


async def test_a_file_of_commands_is_published_and_summed_up(served: Worker, tmp_path: Path) -> None:
    ids = [str(uuid4()) for _ in range(3)]
    file = tmp_path / "commands.ndjson"
    file.write_text(
        line("RegisterReader", body={"ReaderID": "ada", "Name": "Ada"}, id=ids[0])
        + "\n"
        + line("CancelReaderContract", body={"ReaderID": "bob"}, id=ids[1])
        + line("RemoveBookCopyFromCirculation", body={"BookID": "b"}, id=ids[2])
    )
    summary = await served("publish", "--file", str(file), "--wait")
    assert (summary.status, summary.complaint) == (0, "")
    assert [row.strip().split(maxsplit=2) for row in summary.output.splitlines()] == [
        ["outcome", "commands", "reason"],
        ["accepted", "1"],
        ["rejected", "1", "book was never added to circulation"],
        ["rejected", "1", "reader was never registered"],
    ]
    told, sent = await asyncio.gather(
        served("publish", "--file", str(file), "--wait", "--json"), served("publish", "--file", str(file))
    )
    answers = [json.loads(answer) for answer in told.output.splitlines()]
    assert [(answer["command_id"], answer["outcome"], answer["duplicate"]) for answer in answers] == [
        (ids[0], "accepted", True),
        (ids[1], "rejected", True),
        (ids[2], "rejected", True),
    ]
    assert (sent.status, sent.output) == (0, "3 commands are published.\n")


@pytest.mark.usefixtures("queues")
async def test_a_file_with_a_wrong_line_publishes_nothing(worker: Worker, tmp_path: Path) -> None:
    file = tmp_path / "commands.ndjson"
    good = line("RegisterReader", body={"ReaderID": "ada", "Name": "Ada"})
    file.write_text(good + line("RegisterReader", body={"ReaderID": "bob"}))
    wrong = await worker("publish", "--file", str(file))
    assert (wrong.status, wrong.output) == (2, "")
    assert wrong.complaint == "worker: nothing was published:\nline 2: RegisterReader: Name is missing.\n"
    found = await backlog(worker.environment["AMQP_URL"], Topology("library"))
    assert found is not None
    assert found.waiting == 0
