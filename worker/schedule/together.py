"""Together: coroutines none of which goes on without the others."""

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["together"]


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Run coroutines until one ends, cancel the others, and wait for their ends.

    Raises:
        Exception: Any error of the one that ended first.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
