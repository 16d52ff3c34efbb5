"""Dead letters in the hands of a person: looked at, replayed, discarded."""

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

__all__ = ["Bounds", "Progress", "Refused", "Wanted", "discard", "look", "replay"]

Progress = Callable[[], None]
"""Is called after each letter."""
Wanted = Callable[[DeadLetter], bool]
"""Says of each letter whether it is meant."""
Refused = Callable[[MessageRefused], None]
"""Is called for each letter of which the broker takes no copy."""

# So long letters are held at a stretch, well within the broker's consumer timeout of 30 minutes. Then they are given
# back, and the walk begins anew with what is left.
_HOLD_SECONDS = 600.0
# So long the broker may take to store a copy. A person is waiting, and can do it again.
_SEND_SECONDS = 10.0
# Enough that confirmations share the broker's disk writes.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far a replay or a discarding goes, so that it ends where letters keep coming.

    Attributes:
        oldest: How many letters there were when it was asked for. Those that came later are not touched.
        most: How many are to be treated, at most.
        rate: How many to treat in a second, at most; None for as many as the broker takes.
    """

    oldest: int
    most: int
    rate: float | None = None


async def look(queue: DeadQueue, most: int, visit: Callable[[DeadLetter], None], *, progress: Progress) -> None:
    """Visit the oldest letters, in their order. Nothing is removed, and the order stays.

    Args:
        queue: Whose.
        most: How many, at most.
        visit: Called with each letter. What it does not keep is forgotten, so that any number can be visited.
        progress: Called after each.

    Raises:
        BrokerUnavailable: The connection broke. The letters are still there.
    """
    async with queue.walk(most) as walk:
        async for held in walk:
            visit(DeadLetter.read(held.properties, held.body, queue.topology))
            progress()


async def replay(
    queue: DeadQueue,
    sender: Sender,
    wanted: Wanted,
    bounds: Bounds,
    *,
    progress: Progress,
    refused: Refused = lambda _: None,
) -> int:
    """Send letters to the work queue again, each as it was first published: with its id, trace and reply queue.

    One that came from the schedule's queue returns to that: it was never due.

    Each begins a new history: what was noted of its failures is left out, and a time is noted instead. A letter is
    removed only when the broker has stored its copy. Whoever is killed in between leaves a letter whose copy was
    sent: replayed again, it is a duplicate, which a worker answers from its receipt.

    Args:
        queue: Whose.
        sender: Who sends the copies.
        wanted: Which ones.
        bounds: How many, and how fast.
        progress: Called after each that was replayed.
        refused: Called for each that stays because the broker takes no copy of it, such as for its size.

    Returns:
        How many were replayed.

    Raises:
        Unroutable: There is no work queue.
        BrokerUnavailable: The connection broke. The letters that are left are still there; doing it again goes on.

    On cancellation, copies under way may have been stored; their letters are still there as well.
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


async def discard(queue: DeadQueue, wanted: Wanted, bounds: Bounds, *, progress: Progress) -> int:
    """Remove letters for good. The arguments are those of ``replay``.

    Returns:
        How many were removed.

    Raises:
        BrokerUnavailable: The connection broke. The letters that are left are still there.
    """

    async def nothing(_: Held) -> bool:
        return True

    return await _treat(queue, wanted, nothing, bounds, progress)


async def _treat(
    queue: DeadQueue, wanted: Wanted, act: Callable[[Held], Awaitable[bool]], bounds: Bounds, progress: Progress
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
        """Walk until the end or until letters were held for long enough; return whether it was the end."""
        free = asyncio.Semaphore(_AT_ONCE)
        # What was treated is gone, and the window ends where it ended before.
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
    """Raise the first of the broker's errors out of a group of them."""
    try:
        yield
    except ExceptionGroup as group:
        known, unknown = group.split(BrokerError)
        if known is None or unknown is not None:
            raise
        raise _first(known) from group


class _Pace:
    """Lets so many a second pass, evenly."""

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
