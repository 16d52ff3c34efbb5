"""Waiting for whichever happens first: an event, the end of a task, or a time that is over."""

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["first_of"]


async def first_of(
    *events: asyncio.Event, tasks: Iterable["asyncio.Future[Any]"] = (), within: float | None = None
) -> None:
    """Wait until an event is set or a task has ended; which one, and how, the caller sees from them.

    Args:
        events: The events.
        tasks: The tasks. They go on, also where this is cancelled.
        within: For how long, in seconds; None for as long as it takes.
    """
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait({*waiters, *tasks}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
