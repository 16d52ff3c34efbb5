"""Waiting for whichever happens first: an event, the end of a task, or a timeout."""

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["first_of"]


async def first_of(
    *events: asyncio.Event, tasks: Iterable["asyncio.Future[Any]"] = (), within: float | None = None
) -> None:
    """Wait until an event is set, a task has ended, or the time is over. The caller checks which.

    Args:
        events: The events.
        tasks: The tasks. They are not cancelled, even if this call is.
        within: The longest time to wait, in seconds; None for no limit.
    """
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait({*waiters, *tasks}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
