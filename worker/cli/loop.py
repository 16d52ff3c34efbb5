"""The event loop that commands run on."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from worker.telemetry.library_loggers import quieten_libraries

__all__ = ["run_async"]

T = TypeVar("T")


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to completion on uvloop. Ctrl-C cancels the coroutine, waits for it, and raises ``KeyboardInterrupt``.

    The libraries below are made quiet and lenient first, for the whole process, which is the command line's own.
    """
    quieten_libraries()
    # What speaks to a broker has loaded its library by now; to the others, that costs as much as asyncio does.
    if "aio_pika" in sys.modules:
        from worker.amqp.codec import install_lenient_codec  # noqa: PLC0415  as said

        install_lenient_codec()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)
