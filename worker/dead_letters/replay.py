"""Replay: dead letters are looked at, replayed, and discarded by a person."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from worker.amqp.dead_queue import DeadQueue
from worker.amqp.queue_browser import Held
from worker.amqp.sender import Sender
from worker.dead_letters.letter import REPLAYED_HEADER, STORY_HEADERS, DeadLetter, was_scheduled
from worker.errors import BrokerError, MessageRefused
from worker.rounds.forwarding import forward
from worker.topology import Address

__all__ = ["Bounds", "LetterFilter", "Progress", "Refused", "discard", "look", "replay"]

Progress = Callable[[], None]
"""Called after each letter."""
LetterFilter = Callable[[DeadLetter], bool]
"""Returns whether a letter is selected."""
Refused = Callable[[MessageRefused], None]
"""Called for each letter that the broker accepts no copy of."""

# How long letters are held at a time, well within the broker's consumer timeout of 30 minutes. Then they are returned,
# and browsing begins again with what is left.
_HOLD_SECONDS = 600.0
# How long the broker may take to store a copy. A person waits for it, and can repeat the replay.
_SEND_SECONDS = 10.0
# Enough for confirmations to share the broker's disk writes.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The limits of a replay or a discarding, so that it ends where new letters keep coming.

    Attributes:
        oldest: How many letters there were when it began. Later ones are not touched.
        most: The most letters to treat.
        rate: The most letters to treat in a second; None for no limit.
    """

    oldest: int
    most: int
    rate: float | None = None


async def look(queue: DeadQueue, most: int, visit: Callable[[DeadLetter], None], *, progress: Progress) -> None:
    """Visit the oldest letters, in order. Nothing is removed, and the order is kept.

    Args:
        queue: The dead-letter queue.
        most: The most letters to visit.
        visit: Called with each letter. Letters are not kept here, so that any number can be visited.
        progress: Called after each letter.

    Raises:
        BrokerUnavailable: The connection broke. The letters are still in the queue.
    """
    async with queue.walk(most) as walk:
        async for held in walk:
            visit(DeadLetter.read(held.properties, held.body, queue.topology))
            progress()


async def replay(
    queue: DeadQueue,
    sender: Sender,
    wanted: LetterFilter,
    bounds: Bounds,
    *,
    progress: Progress,
    refused: Refused = lambda _: None,
) -> int:
    """Send letters to the work queue again, each as it was first published: with its id, trace and reply queue.

    A letter that came from the schedule queue returns to that: it was never due.

    Each begins a new history: the headers about its failures are removed, and the time of the replay is added. A letter
    is removed only after the broker has stored its copy. If the process is killed in between, the letter stays although
    its copy was sent. Replayed again, it is a duplicate, which a worker answers from its receipt.

    Args:
        queue: The dead-letter queue.
        sender: The connection that publishes the copies.
        wanted: Selects letters.
        bounds: How many letters to treat, and how fast.
        progress: Called after each letter that was replayed.
        refused: Called for each letter that stays because the broker accepts no copy of it, for example for its size.

    Returns:
        How many letters were replayed.

    Raises:
        Unroutable: The work queue does not exist.
        BrokerUnavailable: The connection broke. Letters that were not replayed are still in the queue; a repetition
            goes on.

    On cancellation, copies that are being sent may have been stored; their letters are still in the queue as well.
    """
    topology = queue.topology

    async def send(held: Held) -> bool:
        entrance = topology.entrance
        if was_scheduled(held.properties, topology):
            # In the work queue it would be decided at once.
            entrance = Address("", topology.schedule_queue)
        headers = {REPLAYED_HEADER: datetime.now(UTC).isoformat()}
        try:
            await forward(
                sender,
                held.body,
                held.properties,
                exchange=entrance.exchange,
                queue=entrance.routing_key,
                headers=headers,
                without=STORY_HEADERS,
                timeout=_SEND_SECONDS,
            )
        except MessageRefused as error:
            refused(error)
            return False
        return True

    return await _treat(queue, wanted, send, bounds, progress)


async def discard(queue: DeadQueue, wanted: LetterFilter, bounds: Bounds, *, progress: Progress) -> int:
    """Remove letters for good. The arguments are those of ``replay``.

    Returns:
        How many letters were removed.

    Raises:
        BrokerUnavailable: The connection broke. The letters that are left are still in the queue.
    """

    async def nothing(_: Held) -> bool:
        return True

    return await _treat(queue, wanted, nothing, bounds, progress)


async def _treat(
    queue: DeadQueue, wanted: LetterFilter, act: Callable[[Held], Awaitable[bool]], bounds: Bounds, progress: Progress
) -> int:
    pace = _Pace(bounds.rate)
    done = 0

    async def treat(held: Held, free: asyncio.Semaphore) -> None:
        nonlocal done
        try:
            if await act(held):
                await held.acknowledge()
                done += 1
                progress()
        finally:
            free.release()

    async def treat_some() -> bool:
        """Browse until the end, or until letters were held for long enough; return whether the end was reached."""
        free = asyncio.Semaphore(_AT_ONCE)
        # Treated letters are gone, and the part of the queue to browse ends where it ended before.
        async with queue.walk(bounds.oldest - done) as walk, asyncio.TaskGroup() as group:
            begun = done
            async for held in walk:
                if wanted(DeadLetter.read(held.properties, held.body, queue.topology)):
                    await pace.turn()
                    await free.acquire()
                    group.create_task(treat(held, free))
                    begun += 1
                if begun >= bounds.most:
                    break
                if walk.seconds >= _HOLD_SECONDS:
                    return False
        return True

    with _one_error():
        while done < bounds.most and not await treat_some():
            pass
    return done


@contextmanager
def _one_error() -> Iterator[None]:
    """Raise the first broker error of an exception group in its place."""
    try:
        yield
    except ExceptionGroup as group:
        known, unknown = group.split(BrokerError)
        if known is None or unknown is not None:
            raise
        raise _first(known) from group


class _Pace:
    """Limits how many callers go on in a second, evenly spaced."""

    def __init__(self, rate: float | None) -> None:
        self._interval = 0.0 if rate is None else 1 / rate
        self._next = 0.0

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now)
        wait = self._next - now
        self._next += self._interval
        if wait > 0:
            await asyncio.sleep(wait)


def _first(group: ExceptionGroup[BrokerError]) -> BrokerError:
    first = group.exceptions[0]
    return first if isinstance(first, BrokerError) else _first(first)
