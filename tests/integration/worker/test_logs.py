"""What a worker process logs of commands that fail: which they were, and nothing of what was in them."""

import json
from uuid import uuid4

from tests.support.fixtures.databases import Database
from tests.support.worker_process import WorkerProcess
from worker.publisher import Publisher

SECRET = "nobody's business"


async def test_a_failing_command_is_named_and_its_payload_is_not(
    database: Database, vhost: str, publisher: Publisher
) -> None:
    bug, wrong = uuid4(), uuid4()
    async with WorkerProcess.running(
        database.url, vhost, WORKER_RETRY_DELAY="0.05", WORKER_LOG_LEVEL="debug", OTEL_TRACES_EXPORTER="console"
    ) as worker:
        await publisher.request("tally", "Count", {"Key": SECRET})
        await publisher.publish("tally", "Count", {"Limit": SECRET}, command_id=wrong)
        await worker.logged("dead letter: invalid_command: Count: Key is missing")
        await publisher.publish("tally", "Explode", {"Key": SECRET}, command_id=bug)
        await worker.logged("dead letter: handler_error: ZeroDivisionError in decide_explode (")
        worker.signal()
        assert await worker.status() == 0
    told = [record for record in worker.records if record.get("command_id") == str(bug)]
    assert [(record["level"], record["message"].partition(" (")[0]) for record in told] == [
        ("warning", "retry in 0.05 s: handler_error: ZeroDivisionError in decide_explode"),
        ("warning", "retry in 0.05 s: handler_error: ZeroDivisionError in decide_explode"),
        ("error", "dead letter: handler_error: ZeroDivisionError in decide_explode"),
    ]
    assert {(record["command_type"], record["domain"], len(record["trace_id"])) for record in told} == {
        ("Explode", "tally", 32)
    }
    (invalid,) = [record for record in worker.records if record.get("command_id") == str(wrong)]
    assert (invalid["level"], invalid["command_type"]) == ("error", "Count")
    # What concerns no command names none.
    assert not any("command_id" in each for each in worker.records if each["message"].startswith(("cons", "drain")))
    assert SECRET not in json.dumps(worker.records)
