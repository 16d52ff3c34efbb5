"""The oracle: replays a whole log and checks whether every answer was right.

It shares no code with the worker's way of deciding. The log is read once, from its first event to its last, and each
part's state is folded along until the point at which a command was decided on it; there it is decided again. A folded
state is trusted only as far as the same events, folded separately, give the same state.
Neither the log nor its receipts are kept: memory grows with the commands of the run, not with the log. Time grows with
both, and with the number of parts that each event belongs to.
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
    """Replay the log of a store to which, from some point on, only these commands were sent.

    It checks: numbers without gaps; each event in exactly one receipt, that of its own command; the domain's
    invariants; as many receipts as commands, by distinct id; for every receipt the same decision again, from the events
    just below its first event or, without events, up to the position at which it was validated; views and deciders that
    depend on nothing but their arguments; and every reply as its receipt says. Events of other domains are skipped.
    Commands that the domains' reactions sent meanwhile are recognised by their ids, and not decided again.

    Args:
        store: The event store; log and receipts are read from the primary.
        domain: The domain of the commands.
        beside: Other domains with commands among them.
        commands: All commands that were published, by id.
        replies: All replies that arrived, by command id; None to check no replies.
        setup: Ids of commands that are checked like all others, but whose attempts are not counted.
        since: Sequence number of the last event before the run. Events up to it need no receipt.
        master: The keys that encrypt the subjects' keys; needed if a domain has Sensitive fields. Decisions on values
            that are forgotten by now are counted separately.
        progress: Called at intervals with the number of the event that was read last.

    Returns:
        The report. What is wrong is a violation in it, not an exception.

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
            await asyncio.sleep(0)  # a long replay must not delay Ctrl-C
            if progress is not None:
                progress(event.sequence_number)
    replay.close()
    await second_fold.compare()
    report.compared = second_fold.compared
    report.seconds = perf_counter() - began
    return report
