"""A command's trace as Jaeger shows it: asked of a real Jaeger, where there is one."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.local import containers
from deploy.local.account import Account
from deploy.local.reaper_client import ReaperClient
from deploy.local.telemetry.jaeger import JaegerServer, jaeger_program
from tests.e2e.conftest import Serving
from tests.e2e.program import Worker
from tests.support.fixtures.waiting import eventually

_IMAGE = "jaegertracing/jaeger:2.20.0"
_PUBLISH = "publish commands:library"
_PROCESS = "process commands:library:library.commands"


@pytest.fixture
def jaeger() -> Iterator[tuple[str, str]]:
    """Where a Jaeger takes traces over gRPC, and where its query API is."""
    if (program := jaeger_program()) is not None:
        account = Account.for_servers()
        reaper = ReaperClient(account)
        try:
            server = JaegerServer(reaper, program, copied=account.is_other)
            server.start()
            yield server.variables()["OTEL_EXPORTER_OTLP_ENDPOINT"], server.page_url
        finally:
            reaper.close()
    elif containers.engine_answers():
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415  needed by few, and slow to import
        from testcontainers.core.wait_strategies import HttpWaitStrategy  # noqa: PLC0415

        ready = HttpWaitStrategy(16686, "/api/services")
        with DockerContainer(_IMAGE).with_exposed_ports(4317, 16686).waiting_for(ready) as container:
            host = container.get_container_host_ip()
            otlp, page = (container.get_exposed_port(port) for port in (4317, 16686))
            yield f"http://{host}:{otlp}", f"http://{host}:{page}"
    else:
        pytest.skip("no jaeger (version 2, or 1's all-in-one) is on the PATH, and no Docker engine answers")


def spans_of(page: str, trace_id: str) -> dict[str, dict[str, Any]]:
    """Ask Jaeger for a trace; return each span by its name, with its service, its parent's name, and its attributes."""
    try:
        with urllib.request.urlopen(f"{page}/api/traces/{trace_id}", timeout=10) as response:  # noqa: S310  a fixed scheme
            (trace,) = json.load(response)["data"]
    except OSError:
        return {}  # it does not know the trace yet
    names = {span["spanID"]: span["operationName"] for span in trace["spans"]}
    return {
        span["operationName"]: {
            "service": trace["processes"][span["processID"]]["serviceName"],
            "parent": next(
                (names.get(each["spanID"]) for each in span["references"] if each["refType"] == "CHILD_OF"), None
            ),
            "attributes": {tag["key"]: tag["value"] for tag in span["tags"]},
        }
        for span in trace["spans"]
    }


async def test_a_commands_trace_is_one_tree_of_both_services(
    worker: Worker, serving: Serving, jaeger: tuple[str, str]
) -> None:
    endpoint, page = jaeger
    exporting = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    traced = worker.having(**exporting, WORKER_TRACE_URL=f"{page}/trace/{{trace_id}}")
    async with serving(traced):
        shop = traced.having(OTEL_SERVICE_NAME="shop")
        sent = await shop("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}', "--wait", "--json")
        command_id = json.loads(sent.output)["command_id"]
        told = (await traced("status", command_id, "--json")).document()
        found: dict[str, dict[str, Any]] = {}

        async def has_arrived() -> bool:
            nonlocal found
            found = await asyncio.to_thread(spans_of, page, told["trace_id"])
            return len(found) >= 6

        await eventually(has_arrived, what="the trace in Jaeger")
    assert told["trace_url"] == f"{page}/trace/{told['trace_id']}"
    assert {name: (span["service"], span["parent"]) for name, span in found.items()} == {
        _PUBLISH: ("shop", None),
        _PROCESS: ("dynamic-streams-worker", _PUBLISH),
        "attempt": ("dynamic-streams-worker", _PROCESS),
        "query events": ("dynamic-streams-worker", "attempt"),
        "decide RegisterReader": ("dynamic-streams-worker", "attempt"),
        "append events": ("dynamic-streams-worker", "attempt"),
    }
    process = found[_PROCESS]["attributes"]
    assert process["messaging.message.id"] == command_id
    assert (process["command.outcome"], process["span.kind"]) == ("accepted", "consumer")
    assert found["append events"]["attributes"]["db.system.name"] == "postgresql"
