"""The oracle: replays a whole log and finds out whether every answer was right.

It shares no code with the worker's way of deciding: the log is read once, from its first event to its last, and each
boundary's state is carried along, until the point at which a command there was decided; then it is decided again.
Neither the log nor its receipts are kept: memory grows with the commands of the run, and not with the log.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from time import perf_counter
from uuid import UUID

from eventstore import EventStore, Filter
from handlers.decider import Command
from handlers.domain import Domain
from worker.load.replay import Replay
from worker.load.verdict import Verdict
from worker.message import Reply

__all__ = ["judge"]

_BATCH = 5000
_BREATH = 200


async def judge(
    store: EventStore,
    domain: Domain,
    commands: Mapping[UUID, Command],
    replies: Mapping[UUID, Sequence[Reply]] | None = None,
    *,
    setup: Collection[UUID] = frozenset(),
    since: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Replay the log of a store that, since some point, only these commands of the domain were sent to.

    Found must be: gapless numbers; each event in exactly one receipt, that of its own command; the domain's invariants
    unbroken; as many receipts as commands, by distinct id; for every receipt the same decision again, from the prefix
    just below its first event or, without events, at the position it was validated at; and every reply as its receipt
    says.

    Args:
        store: Where the log and the receipts are; both are read from the primary.
        domain: Whose commands they were.
        commands: All that was published, by id.
        replies: All answers that came back, by command id; None checks no replies.
        setup: The ids of commands that are judged like all others, but whose attempts do not count.
        since: The number of the last event that was there before. What lies up to it needs no receipt.
        progress: Called now and then with the number of the event that was read last.

    Returns:
        The verdict. Whatever is wrong is a violation in it, not an exception.

    Raises:
        EventStoreError: The store could not be read.
    """
    began = perf_counter()
    verdict = Verdict(invariants=tuple(invariant.name for invariant in domain.invariants))
    replay = Replay(domain, commands, verdict, since)
    async for receipt in store.receipts():
        replay.take_receipt(receipt, setup, replies)
    replay.open()
    async for event in store.read(Filter.matching_any_event(), batch_size=_BATCH):
        if not replay.take_event(event):
            break
        if event.sequence_number % _BREATH == 0:
            await asyncio.sleep(0)  # a long replay must not keep Ctrl-C waiting
            if progress is not None:
                progress(event.sequence_number)
    replay.close()
    verdict.seconds = perf_counter() - began
    return verdict
