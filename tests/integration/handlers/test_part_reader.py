"""The part reader on PostgreSQL: what a process that starts reads of a long history, and of a stored state."""

import asyncio

from eventstore import Consistency
from eventstore.postgres import PostgresEventStore
from handlers.kept_states import KeptStates
from handlers.part_reader import LONGEST_AT_ONCE, PartReader
from tests.support.domains.jars import Jar, domain, dropped, jar, saved, total

LONG = 2 * LONGEST_AT_ONCE + 1
STRONG = Consistency.STRONG


async def test_a_long_history_and_a_short_one_are_read_for_many_at_once(store: PostgresEventStore) -> None:
    await store.append([dropped()] * LONG)
    await store.append([dropped("b", 3)])
    reader = PartReader(store, domain, KeptStates())
    parts = [jar.at("a"), jar.at("b")]
    for found in await asyncio.gather(*(reader.read(parts, consistency=STRONG) for _ in range(10))):
        assert [found[part].state for part in parts] == [Jar("a", LONG, LONG), Jar("b", 1, 3)]
        assert found[parts[0]].position.number == LONG + 1
    await store.append([dropped()])
    again = await reader.read_once(parts, consistency=STRONG)
    assert (sum(again.events.values()), again.states[parts[0]].events) == (1, LONG + 1)


async def test_a_process_that_starts_reads_the_stored_state_and_its_tail(store: PostgresEventStore) -> None:
    await store.append([dropped()] * LONG)
    first = PartReader(store, domain, KeptStates())
    await first.read([saved.at("a"), total.at()], consistency=STRONG)
    await first.close()
    await store.append([dropped(coin=7), dropped("b")])
    second = PartReader(store, domain, KeptStates())
    found = await second.read_once([saved.at("a"), total.at()], consistency=STRONG)
    await second.close()
    assert sum(found.events.values()) == 3
    assert found.states[saved.at("a")].state == Jar("a", LONG + 1, LONG + 7)
    assert found.states[total.at()].state == LONG + 2
