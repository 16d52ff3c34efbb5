"""Racers who keep what they have read part by part, and decide rounds on top of it without reading again."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from uuid import uuid4

from msgspec.structs import replace

from eventstore import Append, BoundaryPart, ConflictError, Event, OwnRange, Receipt
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.questions import ANY, numbers, of

Stores = Callable[[int], Awaitable[list[PostgresEventStore]]]

RACERS, ROUNDS, MEMBERS = 4, 40, 4
KEYS = ("a", "b", "c", "d", "e")


@dataclass(frozen=True, slots=True)
class Kept:
    """How many events of a key there are, and how that is known."""

    count: int
    part: BoundaryPart


class Racer:
    """Counts two keys at a time; an event says how many of both there were, as far as its writer knew.

    Args:
        store: Where.
        seed: Of its choices.
    """

    def __init__(self, store: PostgresEventStore, seed: int) -> None:
        self.read = self.known = 0
        self._store = store
        self._random = Random(seed)  # noqa: S311  a choice, not a secret
        self._kept: dict[str, Kept] = {}

    async def run(self) -> None:
        for _ in range(ROUNDS):
            pairs = [tuple(self._random.sample(KEYS, 2)) for _ in range(MEMBERS)]
            for key in {key for pair in pairs for key in pair}:
                await self._know(key)
            members = list(self._decided(pairs))
            self._settle(pairs, await self._store.append_chain(members))

    async def _know(self, key: str) -> None:
        if key in self._kept:
            self.known += 1
            return
        self.read += 1
        (stream,) = await self._store.query_many([of(key)])
        self._kept[key] = Kept(len(stream.events), BoundaryPart(filter=of(key), after=stream.position))

    def _decided(self, pairs: list[tuple[str, ...]]) -> Iterator[Append]:
        """Each on top of those before it; every fourth records nothing."""
        counts = Counter({key: kept.count for key, kept in self._kept.items()})
        for place, pair in enumerate(pairs):
            total = counts[pair[0]] + counts[pair[1]]
            events = [Event(type="Counted", payload={"Key": pair[0], "Pair": pair, "Total": total})]
            if place % 4 == 3:
                events = []
            else:
                counts[pair[0]] += 1
            yield Append(events=events, boundary=[self._kept[key].part for key in pair], key=uuid4())

    def _settle(self, pairs: list[tuple[str, ...]], found: Sequence[object]) -> None:
        recorded = Counter[str]()
        receipts = [one for one in found if isinstance(one, Receipt) and one.last is not None]
        for pair, one in zip(pairs, found, strict=True):
            if isinstance(one, Receipt):
                recorded[pair[0]] += one.first is not None
            else:
                assert isinstance(one, ConflictError)
                for key in pair:
                    self._kept.pop(key, None)
        if not receipts or receipts[0].first is None:
            return
        own = OwnRange(first=receipts[0].first, last=receipts[-1].position)
        for key, count in recorded.items():
            if count and (kept := self._kept.get(key)) is not None:
                # Of this part alone: the others have not been folded with anything.
                part = replace(kept.part, besides=(*kept.part.besides, own))
                self._kept[key] = Kept(kept.count + count, part)


async def test_rounds_on_kept_parts_never_miss_what_others_wrote(stores: Stores) -> None:
    racers = [Racer(store, seed) for seed, store in enumerate(await stores(RACERS))]
    await asyncio.gather(*(racer.run() for racer in racers))
    log = await racers[0]._store.query(ANY)
    assert numbers(log) == list(range(1, len(log.events) + 1))
    counts: Counter[str] = Counter()
    for event in log.events:
        first, second = event.payload["Pair"]
        assert event.payload["Total"] == counts[first] + counts[second], event
        counts[first] += 1
    assert all(racer.known > 0 for racer in racers)
