"""The oracle: replays a whole log and finds out whether every answer was right.

It shares no code with the worker's way of deciding: the log is read once, from its first event to its last, and each
part's state is carried along, until the point at which a command was decided from it; then it is decided again. A
state carried along is believed only as far as the same events, folded for themselves, come to the same.
Neither the log nor its receipts are kept: memory grows with the commands of the run, and not with the log. Time grows
with both, and with the parts that each event belongs to.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from time import perf_counter
from uuid import UUID

from eventstore import EventStore, Filter
from handlers.domain import Domain
from handlers.erasure.master_key import MasterKeys
from handlers.errors import UnreadableEvent
from handlers.model import Command
from worker.load.opened_events import OpenedEvents
from worker.load.oracle_report import OracleReport
from worker.load.replay import Replay
from worker.load.second_fold import SecondFold
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
    beside: Sequence[Domain] = (),
    setup: Collection[UUID] = frozenset(),
    since: int = 0,
    master: MasterKeys | None = None,
    progress: Callable[[int], None] | None = None,
) -> OracleReport:
    """Replay the log of a store that, since some point, only these commands were sent to.

    Found must be: gapless numbers; each event in exactly one receipt, that of its own command; the domain's invariants
    unbroken; as many receipts as commands, by distinct id; for every receipt the same decision again, from the prefix
    just below its first event or, without events, at the position it was validated at; views and deciders that look at
    nothing but what they are given; and every reply as its receipt says. What other domains wrote is passed over.

    Args:
        store: Where the log and the receipts are; both are read from the primary.
        domain: Whose commands they were.
        beside: Other domains whose commands were among them.
        commands: All that was published, by id.
        replies: All answers that came back, by command id; None checks no replies.
        setup: The ids of commands that are judged like all others, but whose attempts do not count.
        since: The number of the last event that was there before. What lies up to it needs no receipt.
        master: What the keys of subjects are wrapped by, if a domain has Sensitive fields. What was decided on values
            that are forgotten by now is counted apart.
        progress: Called now and then with the number of the event that was read last.

    Returns:
        The report. Whatever is wrong is a violation in it, not an exception.

    Raises:
        EventStoreError: The store could not be read.
        InvalidMasterKey: A domain has Sensitive fields, and there is no master key.
    """
    began = perf_counter()
    domains = (domain, *beside)
    report = OracleReport(invariants=tuple(invariant.name for each in domains for invariant in each.invariants))
    opening = OpenedEvents(store, domains, master)
    second_fold = SecondFold(store, report.violated, opening)
    replay = Replay(domains, commands, report, since, second_fold)
    async for receipt in store.all_receipts():
        replay.take_receipt(receipt, setup, replies)
    replay.open(replies)
    async for event in store.read(Filter.matching_any_event(), batch_size=_BATCH):
        try:
            opened = await opening.open(event)
        except UnreadableEvent as error:
            report.violated(str(error), events=(event,))
            opened = None
        if not replay.take_event(event, opened):
            break
        await second_fold.compare()
        if event.sequence_number % _BREATH == 0:
            await asyncio.sleep(0)  # a long replay must not keep Ctrl-C waiting
            if progress is not None:
                progress(event.sequence_number)
    replay.close()
    await second_fold.compare()
    report.compared = second_fold.compared
    report.seconds = perf_counter() - began
    return report
