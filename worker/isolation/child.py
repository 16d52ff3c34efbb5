"""The child: the process that decides possibly poisonous messages, one after another, for the worker that started it.

It ends when that worker closes its end of the socket. If it ends while it decides a command, that command counts as the
cause.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import uvloop
from opentelemetry import context, propagate

from eventstore.postgres import PostgresEventStore
from handlers.complaint import headline_of, text_of
from handlers.domain import Domain
from worker.counters import Counters
from worker.errors import HandlerTimedOut
from worker.isolation.protocol import DecideRequest, DecideResponse, Ready, Setup, read_frame, write_frame
from worker.rounds.scheduler import Scheduler
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.settlement import Failure, judge
from worker.stores import stores_of
from worker.telemetry.logs import configure_logs, whereabouts
from worker.telemetry.providers import Telemetry

__all__ = ["main"]

_GONE = (asyncio.IncompleteReadError, ConnectionError)
_SET_PARENT_DEATH_SIGNAL = 1
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_KILLED_FIRST = "1000"


def main(descriptor: int) -> None:
    """Serve the worker at the other end of a socket, until the worker closes it.

    Args:
        descriptor: File descriptor of the socket.
    """
    # The worker gets these signals too, and decides when this process ends.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        # A command that computes for ever does not notice that the worker is gone.
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
        # When memory runs out, the kernel must end this process, and not the worker.
        with suppress(OSError):
            _OOM_SCORE.write_text(_KILLED_FIRST, encoding="ascii")
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
        settings = (await read_frame(reader, Setup)).settings
        configure_logs(settings.worker_log_format, settings.worker_log_level)
        try:
            domains = served_domains(settings)
        except BaseException as error:  # noqa: BLE001  a domain's code may raise anything
            await write_frame(writer, Ready(failure=_failure(error)))
            return
        await write_frame(writer, Ready())
        async with AsyncExitStack() as stack:
            counters = Counters()
            schedulers: dict[str, Scheduler] = {}
            while True:
                request = await read_frame(reader, DecideRequest)
                try:
                    if request.domain_name not in schedulers:
                        schedulers |= await _schedulers(stack, settings, domains, request.domain_name, counters)
                except Exception as error:  # noqa: BLE001  the worker decides what to do about it
                    await write_frame(writer, Ready(failure=_failure(error)))
                    continue
                # From here on, the command counts as the cause if this process ends.
                await write_frame(writer, Ready())
                await write_frame(writer, await _decided(schedulers[request.domain_name], request, counters))
    finally:
        writer.close()


async def _schedulers(
    stack: AsyncExitStack, settings: Settings, domains: tuple[Domain, ...], domain_name: str, counters: Counters
) -> Mapping[str, Scheduler]:
    """Connect to the store of a domain. A spare process does not do this: its connection would be idle.

    Returns:
        The schedulers of all domains of that store, by name.
    """
    stores = stores_of(settings, [domain.name for domain in domains])
    own = next(each for each in stores if domain_name in each.domains)
    async with AsyncExitStack() as opening:
        store = await opening.enter_async_context(
            PostgresEventStore.connect(
                own.database_url,
                driver=own.database_driver,
                schema=own.database_schema,
                pool_size=1,
                application_name="worker isolation",
            )
        )
        schedulers = {
            domain.name: Scheduler(store, domain, settings, counters, is_patient=False)
            for domain in domains
            if domain.name in own.domains
        }
        for scheduler in schedulers.values():
            opening.push_async_callback(scheduler.close)
        stack.push_async_callback(opening.pop_all().aclose)
    return schedulers


async def _decided(scheduler: Scheduler, request: DecideRequest, counters: Counters) -> DecideResponse:
    # For all attempts together: the worker kills a process that does not respond for longer.
    limit = asyncio.timeout(request.within)
    before = (counters.attempts, counters.conflicts, counters.stale_conflicts)
    answer = failure = None
    token = context.attach(propagate.extract(request.message.headers))
    try:
        async with limit:
            answer = await scheduler.process(request.message)
    except BaseException as error:
        # A domain's code may raise any exception, even a cancellation; only a cancellation of this task is real.
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        late = HandlerTimedOut(f"there was no answer within {request.within:g} s")
        failure = _failure(late if limit.expired() else error)
    finally:
        context.detach(token)
    return DecideResponse(
        answer=answer,
        failure=failure,
        attempts=counters.attempts - before[0],
        conflicts=counters.conflicts - before[1],
        stale_conflicts=counters.stale_conflicts - before[2],
    )


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failure(error: BaseException) -> Failure:
    return Failure(
        verdict=judge(error),
        text=_encodable(text_of(error)),
        headline=headline_of(error),
        where=whereabouts(error),
        # The last frames say where it was raised; a deep recursion would fill a frame with its middle.
        traceback=_encodable("".join(traceback.format_exception(error, limit=-30))),
    )


def _encodable(text: str) -> str:
    """Return a text without what no frame can contain: an error of a domain's code may have lone surrogates."""
    return text.encode(errors="backslashreplace").decode()
