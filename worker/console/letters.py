"""Dead letters in the console: reads them, and treats those that a person has selected."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from eventstore.postgres import receipts_since
from worker.amqp.dead_queue import DeadQueue
from worker.amqp.sender import Sender
from worker.chosen_stores import domain_names
from worker.dead_letters.left import explained, left_behind
from worker.dead_letters.letter import DeadLetter, same_id
from worker.dead_letters.replay import Bounds, LetterFilter, discard, look, replay
from worker.dead_letters.selection import Judgement, Rules, Selection
from worker.errors import MessageRefused
from worker.failures import Mistake
from worker.settings import Settings
from worker.stores import stores_of
from worker.topology import Topology

__all__ = ["Action", "Done", "Letters", "Listed"]

# Letters are held while they are read, and no other consumer sees them: a page reads at most this many.
_MOST_LOOKED_AT = 1000
_MOST_LISTED = 200


class Action(StrEnum):
    """What a person can have done with letters."""

    REPLAY = "replay"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Dead letters of one domain.

    Attributes:
        there: How many letters its queue has; None if the queue does not exist.
        looked_at: How many of them were read, from the oldest on.
        matching: How many of those are selected.
        letters: The newest of the selected letters, without content, newest first.
        reasons: The number of selected letters by reason, the most frequent first.
    """

    there: int | None
    looked_at: int = 0
    matching: int = 0
    letters: Sequence[DeadLetter] = ()
    reasons: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The result of an action on letters.

    Attributes:
        count: How many letters were treated.
        left: Why others were left, in sentences.
    """

    count: int
    left: Sequence[str] = ()


class Letters:
    """Reads and treats dead letters, with one browser a queue at a time: two would hide letters from each other.

    Args:
        settings: The worker's settings: the broker, and the stores, which know whether old receipts were deleted.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._walking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def listed(self, topology: Topology, selection: Selection) -> Listed:
        """Return the selected letters of a domain, up to a limit. Nothing is removed.

        Args:
            topology: The domain's queues.
            selection: The selection of letters.

        Raises:
            BrokerUnavailable, BrokerMisconfigured: The broker cannot be reached, or refuses the connection.
        """
        newest: deque[DeadLetter] = deque(maxlen=_MOST_LISTED)
        reasons: Counter[str] = Counter()
        seen = 0

        def visit(letter: DeadLetter) -> None:
            nonlocal seen
            seen += 1
            if selection.fits(letter):
                reasons[letter.reason] += 1
                newest.append(letter.without_content())

        async with self._walking[topology.domain_name], DeadQueue.open(self._settings.amqp_url, topology) as queue:
            there = await queue.count()
            if there is None:
                return Listed(there=None)
            await look(queue, min(there, _MOST_LOOKED_AT), visit, progress=_nothing)
        return Listed(
            there=there,
            looked_at=seen,
            matching=reasons.total(),
            letters=tuple(reversed(newest)),
            reasons=reasons.most_common(),
        )

    async def one(self, topology: Topology, message_id: str) -> DeadLetter | None:
        """Return the oldest letter with an id and all its content; None if there is none. Raises as ``listed``."""
        async with (
            self._walking[topology.domain_name],
            DeadQueue.open(self._settings.amqp_url, topology) as queue,
            queue.walk(await queue.count() or 0) as walk,
        ):
            async for held in walk:
                letter = DeadLetter.read(held.properties, held.body, topology)
                if letter.message_id is not None and same_id(letter.message_id) == same_id(message_id):
                    return letter
        return None

    async def treat(self, action: Action, topology: Topology, ids: Collection[str]) -> Done:
        """Replay or discard the letters with these ids, as ``worker dead-letters`` does.

        Args:
            action: What to do.
            topology: The domain's queues.
            ids: The message ids.

        Raises:
            Mistake: None of these letters exists.
            BrokerUnavailable: The connection broke; letters that are left are still in the queue.
            EventStoreError: The store cannot be asked which receipts were deleted, so nothing is replayed.
        """
        asked_at = datetime.now(UTC)
        selection = Selection(ids=frozenset(map(same_id, ids)))
        if action is Action.DISCARD:
            return await self._treat(topology, selection, lambda letter: letter.was_dead_by(asked_at), None)
        rules = Rules(since=asked_at, receipts_since=await self._receipts_since(topology.domain_name))
        return await self._treat(topology, selection, lambda letter: rules.judge(letter) is Judgement.REPLAY, rules)

    async def _treat(self, topology: Topology, selection: Selection, wanted: LetterFilter, rules: Rules | None) -> Done:
        async with self._walking[topology.domain_name], DeadQueue.open(self._settings.amqp_url, topology) as queue:
            there = await queue.count() or 0
            meant: list[DeadLetter] = []
            await look(queue, there, _those_of(selection, meant), progress=_nothing)
            if not meant:
                raise Mistake("None of these letters is in the queue any more.")
            bounds = Bounds(oldest=there, most=sum(map(wanted, meant)))
            if rules is None:
                done = await discard(queue, _both(selection, wanted), bounds, progress=_nothing) if bounds.most else 0
                return Done(count=done, left=_left(bounds.most - done))
            refused: list[MessageRefused] = []
            done = 0
            if bounds.most:
                sender = Sender(self._settings.amqp_url, name="worker console replay")
                try:
                    await sender.open()
                    done = await replay(
                        queue,
                        sender,
                        _both(selection, wanted),
                        bounds,
                        progress=_nothing,
                        refused=refused.append,
                    )
                finally:
                    await sender.close()
            judged = Counter(rules.judge(letter) for letter in meant)
            left = [explained(each, count, rules) for each, count in judged.items() if each is not Judgement.REPLAY]
            left += [left_behind(len(refused), refused[0])] if refused else []
            return Done(count=done, left=[*left, *_left(bounds.most - done - len(refused))])

    async def _receipts_since(self, domain: str) -> Mapping[str, datetime]:
        """Return the time from which on the domain's store has all receipts, if older ones were deleted."""
        names = domain_names(self._settings, domain if self._settings.worker_domains else None)
        found = {}
        for store in stores_of(self._settings, names, only=domain if names else None):
            since = await receipts_since(store.database_url, schema=store.database_schema)
            if since is not None:
                found[domain] = since
        return found


def _those_of(selection: Selection, meant: list[DeadLetter]) -> Callable[[DeadLetter], None]:
    def visit(letter: DeadLetter) -> None:
        if selection.fits(letter):
            meant.append(letter.without_content())

    return visit


def _both(selection: Selection, wanted: LetterFilter) -> LetterFilter:
    return lambda letter: selection.fits(letter) and wanted(letter)


def _left(count: int) -> list[str]:
    return [f"{count:,} could not be processed, since another consumer holds them now: try again."] if count > 0 else []


def _nothing() -> None:
    pass
