"""``worker health``, as a container's probe runs it."""

import asyncio

from tests.e2e.program import Worker, ended, said
from tests.support.fixtures.ports import free_port

NOWHERE = {"DATABASE_URL": "", "AMQP_URL": ""}


async def test_it_tells_how_the_worker_is_by_its_exit_status(worker: Worker) -> None:
    worker = worker.having(WORKER_HEALTH_PORT=str(free_port()))
    # A probe needs no address of a server.
    probe = worker.having(**NOWHERE)
    nobody = await probe("health")
    assert (nobody.status, nobody.complaint) == (1, "")
    assert nobody.output.startswith("no worker answers on 127.0.0.1, port ")
    async with worker.started("run") as process:
        await said(process, b'"consuming library.commands"')
        for question in ((), ("--live",), ("--ready",)):
            end = await probe("health", *question)
            assert (end.status, end.output, end.complaint) == (0, "consuming\n", "")
        process.terminate()
        assert (await ended(process)).status == 0


async def test_a_port_that_is_not_set_is_told() -> None:
    end = await Worker(NOWHERE)("health")
    assert end.mistake() == "WORKER_HEALTH_PORT is not set; set it to a port, for the worker and for this command."


async def test_a_stranger_at_the_port_is_not_taken_for_a_worker() -> None:
    async def mumble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async with await asyncio.start_server(mumble, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        end = await Worker({"WORKER_HEALTH_PORT": str(port), "WORKER_HEALTH_HOST": "0.0.0.0"})("health")  # noqa: S104  nothing is bound
    assert (end.status, end.output) == (1, f"another program than a worker answers on 0.0.0.0, port {port}\n")


async def test_a_worker_whose_port_is_taken_does_not_start(worker: Worker) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        end = await worker.having(WORKER_HEALTH_PORT=str(port))("run")
    assert f"WORKER_HEALTH_PORT: port {port} of 127.0.0.1 cannot be listened on" in end.mistake()
