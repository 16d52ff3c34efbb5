"""The event loop of the commands."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from worker.telemetry.library_loggers import quieten_libraries

__all__ = ["run_async"]

T = TypeVar("T")


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop. Ctrl-C cancels it, waits for its end, and raises ``KeyboardInterrupt``.

    Before that, the libraries are made quiet and lenient, for the whole process, which belongs to the command line.
    """
    quieten_libraries()
    # Commands that use a broker have loaded its library by now; for the others, loading it would double their start.
    if "aio_pika" in sys.modules:
        from worker.amqp.codec import install_lenient_codec  # noqa: PLC0415  as said above

        install_lenient_codec()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)
