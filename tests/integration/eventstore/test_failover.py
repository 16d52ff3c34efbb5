"""A standby that is promoted without the primary's last event: the history that some readers saw is another one."""

import asyncio
from functools import partial

import pytest

from eventstore import (
    ConcurrencyConflict,
    Consistency,
    HistoryDiverged,
    OutcomeUnknown,
    StoreUnavailable,
)
from eventstore.postgres import PostgresEventStore, migrate
from tests.integration.eventstore.questions import ANY, appends, counted, keys, of
from tests.support.fixtures.failover import PrimaryAndStandby
from tests.support.fixtures.waiting import eventually


async def test_a_position_of_the_lost_history_never_commits(primary_and_standby: PrimaryAndStandby) -> None:
    primary, standby = primary_and_standby
    await migrate(primary.url(primary.admin))
    one, other = primary.url(primary.worker), standby.url(standby.worker)
    # Both servers in one address: the store looks for the one that takes writes.
    both = one.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{standby.port}/")
    async with PostgresEventStore.connect(both, replica_urls=[other]) as store:
        kept = (await store.append([counted("kept")])).position
        await eventually(partial(_replica_has, store, 1), what="the standby to have the first event")
        await asyncio.to_thread(standby.stop)
        lost = (await store.append([counted("lost")])).position
        assert (lost.number, kept.number) == (2, 1)
        await asyncio.to_thread(primary.kill)
        # Unknown, if the loss is noticed only while the append is being sent.
        with pytest.raises((StoreUnavailable, OutcomeUnknown)):
            await store.append([counted("nowhere")])
        await asyncio.to_thread(standby.start)
        # A standby takes no writes, and answers no strong read.
        with pytest.raises(StoreUnavailable):
            await store.query(ANY)
        await asyncio.to_thread(standby.promote)
        await eventually(partial(appends, store, "new"), what="the store to find the new primary")
        await store.append([counted("newer")])
        assert keys(await store.query(ANY)) == ["kept", "new", "newer"]

        # Event 2 is another one now, and 3 lies above it. By its number alone, this position would pass.
        for events in ([counted("x")], []):
            with pytest.raises(HistoryDiverged):
                await store.append(events, boundary=of("lost"), after=lost)
        with pytest.raises(ConcurrencyConflict) as conflict:
            await store.append([counted("x")], boundary=of("new"), after=kept)
        assert conflict.value.sequence_number == 2
        assert (await store.append([counted("x")], boundary=of("lost"), after=kept)).first == 4


async def _replica_has(store: PostgresEventStore, head: int) -> bool:
    stream = await store.query(ANY, consistency=Consistency.EVENTUAL)
    return stream.replica and stream.position.number == head
