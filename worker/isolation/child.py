"""The isolated process: decides one suspect after another, for the worker that started it.

It ends when that worker closes its end of the socket. What ends it before, while it has a command, counts as that
command's doing.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
import traceback
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import uvloop
from opentelemetry import context, propagate

from eventstore.postgres import PostgresEventStore
from handlers.registry import load_domains
from worker.counters import Counters
from worker.errors import HandlerTimedOut
from worker.isolation.protocol import DecideRequest, DecideResponse, Setup, read_frame, write_frame
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Failure, judge
from worker.telemetry.logs import configure_logs, whereabouts
from worker.telemetry.providers import Telemetry

__all__ = ["main"]

_GONE = (asyncio.IncompleteReadError, ConnectionError)
_SET_PARENT_DEATH_SIGNAL = 1


def main(descriptor: int) -> None:
    """Serve whoever holds the other end of a socket, until it is closed."""
    # Both are for the worker to hear: it decides when we end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        # A command that computes for ever does not notice that the worker is gone.
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
        # Where memory runs out, the command that takes it shall go, and not its neighbours.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    os.set_inheritable(descriptor, False)
    telemetry = Telemetry.start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, suppress(*_GONE):
            runner.run(_serve(socket.socket(fileno=descriptor)))
    finally:
        telemetry.stop()


async def _serve(end: socket.socket) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=end)
    try:
        settings = Settings(**(await read_frame(reader, Setup)).settings)
        configure_logs(settings.worker_log_format, settings.worker_log_level)
        async with AsyncExitStack() as stack:
            counters = Counters()
            try:
                store = await stack.enter_async_context(
                    PostgresEventStore.connect(settings.database_url, pool_size=1, application_name="worker isolation")
                )
                processors = {
                    domain.name: Scheduler(store, domain, settings, counters)
                    for domain in load_domains(settings.worker_domains)
                }
                for processor in processors.values():
                    stack.push_async_callback(processor.close)
            except Exception as error:  # noqa: BLE001  the worker knows what to do with each
                await write_frame(writer, DecideResponse(failure=_told(error)))
                return
            await write_frame(writer, DecideResponse())
            while True:
                errand = await read_frame(reader, DecideRequest)
                # From here on, our end is the command's doing.
                await write_frame(writer, DecideResponse())
                report = await _decided(
                    processors[errand.domain_name], errand, counters, within=settings.worker_handler_timeout
                )
                await write_frame(writer, report)
    finally:
        writer.close()


async def _decided(processor: Scheduler, errand: DecideRequest, counters: Counters, *, within: float) -> DecideResponse:
    # For all attempts together: the worker kills us if it hears nothing for longer, and blames the command.
    limit = asyncio.timeout(within)
    before = (counters.attempts, counters.conflicts, counters.stale_conflicts)
    processed = failure = None
    token = context.attach(propagate.extract(errand.message.headers))
    try:
        async with limit:
            processed = await processor.process(errand.message)
    except Exception as error:  # noqa: BLE001  the worker knows what to do with each
        failure = _told(HandlerTimedOut(f"there was no answer within {within:g} s") if limit.expired() else error)
    finally:
        context.detach(token)
    return DecideResponse(
        processed=processed,
        failure=failure,
        attempts=counters.attempts - before[0],
        conflicts=counters.conflicts - before[1],
        stale_conflicts=counters.stale_conflicts - before[2],
    )


def _told(error: Exception) -> Failure:
    return Failure(
        verdict=judge(error),
        kind=type(error).__name__,
        text=str(error),
        where=whereabouts(error),
        # The end tells where it happened; a deep recursion would fill a frame with its middle.
        traceback="".join(traceback.format_exception(error, limit=-30)),
    )
