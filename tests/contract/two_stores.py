"""The store in memory and the one on PostgreSQL, put to the same questions side by side."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from itertools import permutations
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from eventstore import START, Append, EventStore, Filter, MemoryEventStore, Position
from eventstore.postgres import PostgresEventStore
from tests.contract import answers
from tests.support import generated
from tests.support.facts import ANY, collected, positions
from tests.support.fixtures.administration import execute
from tests.support.fixtures.databases import Database
from tests.support.generated import Ask, Question

Answer = TypeVar("Answer")

# The reaper against TRUNCATE is what the owner of a table may lift; no worker's role can.
_EMPTY = """
BEGIN;
ALTER TABLE eventstore.events DISABLE TRIGGER events_are_facts;
TRUNCATE eventstore.events, eventstore.receipts;
ALTER TABLE eventstore.events ENABLE ALWAYS TRIGGER events_are_facts;
COMMIT;
"""


class TwoStores(RuleBasedStateMachine):
    """Every answer of PostgreSQL must be the one of memory.

    What is asked at the same time must be answered as if it had been asked in some order.

    Args:
        database: Where PostgreSQL keeps its events; emptied for each example.
        chains: Whether to append chains, too. A position far behind the head is not judged for a member of one.
    """

    def __init__(self, database: Database, *, chains: bool) -> None:
        super().__init__()
        self._chains = chains
        self._runner = asyncio.Runner()
        self._resources = AsyncExitStack()
        self._memory = MemoryEventStore()
        self._postgres = self._run(self._open(database))
        self._places = [START]

    def teardown(self) -> None:
        self._run(self._resources.aclose())
        self._runner.close()

    @rule(boundaries=st.lists(generated.filters, min_size=1, max_size=4))
    def query(self, boundaries: list[Filter]) -> None:
        """Ask several questions at the same time."""

        async def asked(store: EventStore) -> list[answers.StreamAnswer]:
            return list(map(answers.of_stream, await asyncio.gather(*map(store.query, boundaries))))

        assert self._run(asked(self._postgres)) == self._run(asked(self._memory))

    @rule(asked=st.lists(generated.questions, min_size=1, max_size=4))
    def query_many(self, asked: list[Question]) -> None:
        """Ask several questions of several filters at the same time, each filter from a place of its own."""

        async def answered(store: EventStore, places: Sequence[Position]) -> list[object]:
            found = [answers.of_streams(store.query_many(**each.arguments(places))) for each in asked]
            return list(await asyncio.gather(*found))

        memory_places = self._run(positions(self._memory))
        postgres = self._run(answered(self._postgres, self._places))
        assert postgres == self._run(answered(self._memory, memory_places))

    @rule(boundary=generated.filters, lag=st.integers(0, 9), batch_size=st.integers(1, 4))
    def read(self, boundary: Filter, lag: int, batch_size: int) -> None:
        """Read what lies above a position, batch by batch."""
        place = max(0, len(self._places) - 1 - lag)

        async def read(store: EventStore, places: Sequence[Position]) -> list[object]:
            # Each store has a history of its own.
            events = await collected(store.read(boundary, after=places[place], batch_size=batch_size))
            return list(map(answers.of_event, events))

        memory_places = self._run(positions(self._memory))
        assert self._run(read(self._postgres, self._places)) == self._run(read(self._memory, memory_places))

    @rule(ask=generated.asks)
    def append(self, ask: Ask) -> None:
        """Append what was decided within a boundary."""
        self._append([ask])

    @rule(ask=generated.unconditional_asks)
    def record(self, ask: Ask) -> None:
        """Append whatever others have done."""
        self._append([ask])

    @rule(asks=st.lists(generated.asks | generated.unconditional_asks, min_size=2, max_size=4))
    def append_at_the_same_time(self, asks: list[Ask]) -> None:
        """Append as others do."""
        self._append(asks)

    @precondition(lambda self: self._chains)
    @rule(
        chain=generated.chain_asks,
        others=st.lists(generated.asks | generated.unconditional_asks, max_size=2),
        before=st.booleans(),
    )
    def append_a_chain(self, chain: list[Ask], others: list[Ask], before: bool) -> None:  # noqa: FBT001  drawn
        """Append what was decided one on top of another, while others append as well."""
        apart = [[one] for one in others]
        self._settle_in_some_order([*apart, chain] if before else [chain, *apart])

    @rule(keys=st.lists(generated.keys, max_size=3), scope=generated.scopes)
    def receipts(self, keys: list[UUID], scope: str) -> None:
        """Look up what became of appends."""

        async def receipts(store: EventStore) -> dict[UUID, answers.ReceiptAnswer]:
            found = await store.receipts(keys, scope=scope)
            return {key: answers.of_receipt(receipt) for key, receipt in found.items()}

        assert self._run(receipts(self._postgres)) == self._run(receipts(self._memory))

    def _append(self, asks: Sequence[Ask]) -> None:
        self._settle_in_some_order([[ask] for ask in asks])

    def _settle_in_some_order(self, units: Sequence[Sequence[Ask]]) -> None:
        """Append at the same time; PostgreSQL must answer as memory does to one after the other, in some order."""
        found = self._run(appended(self._postgres, self._places, units))
        note(f"PostgreSQL: {found}")
        memory_places = self._run(positions(self._memory))
        for order in permutations(range(len(units))):
            store = copied(self._memory)
            expected = self._run(appended(store, memory_places, [units[place] for place in order], in_turn=True))
            note(f"memory, in the order {order}: {expected}")
            if [found[place] for place in order] == expected:
                self._memory = store
                self._compare()
                return
        raise AssertionError("PostgreSQL answered as memory does in no order")

    def _compare(self) -> None:
        """Both hold the same events and receipts. Remember the new positions."""
        stream = self._run(self._postgres.query(ANY))
        assert answers.of_stream(stream) == answers.of_stream(self._run(self._memory.query(ANY)))
        assert self._run(receipts(self._postgres)) == self._run(receipts(self._memory))
        self._places = [START, *(event.position for event in stream.events)]

    async def _open(self, database: Database) -> PostgresEventStore:
        await execute(database.admin_url, _EMPTY)
        return await self._resources.enter_async_context(PostgresEventStore.connect(database.url, pool_size=4))

    def _run(self, asked: Coroutine[Any, Any, Answer]) -> Answer:
        return self._runner.run(asked)


def copied(store: MemoryEventStore) -> MemoryEventStore:
    """A store that goes on from where this one stands."""
    copy = MemoryEventStore()
    copy._log.events = list(store._log.events)
    copy._log.receipts = dict(store._log.receipts)
    return copy


async def appended(
    store: EventStore, places: Sequence[Position], units: Sequence[Sequence[Ask]], *, in_turn: bool = False
) -> list[list[answers.ReceiptAnswer | answers.ErrorAnswer]]:
    """The answers to some appends, made at the same time or one after the other; several in a unit are a chain."""
    tries = [_answers(store, places, unit) for unit in units]
    return [await one for one in tries] if in_turn else list(await asyncio.gather(*tries))


async def _answers(
    store: EventStore, places: Sequence[Position], unit: Sequence[Ask]
) -> list[answers.ReceiptAnswer | answers.ErrorAnswer]:
    if len(unit) == 1:
        return [await answers.of_append(store.append(unit[0].events, **unit[0].arguments(places)))]
    chain = [Append(events=ask.events, **ask.arguments(places)) for ask in unit]
    return await answers.of_chain(store.append_chain(chain))


async def receipts(store: EventStore) -> list[answers.ReceiptAnswer]:
    return list(map(answers.of_receipt, await collected(store.all_receipts())))
