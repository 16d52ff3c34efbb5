"""A standby that is promoted without the last events: nothing is decided on what was folded from them."""

import asyncio
from typing import Any

from deploy.local.postgres import DATABASE
from eventstore.backoff import Backoff
from eventstore.postgres import PostgresEventStore, migrate
from tests.support.domains.bank import bank
from tests.support.fixtures.failover import PrimaryAndStandby
from tests.support.fixtures.waiting import eventually
from tests.support.serving import serving_domain
from worker.publisher import Publisher


async def test_a_lost_event_counts_for_no_decision_though_a_later_one_follows_its_number(
    primary_and_standby: PrimaryAndStandby, vhost: str, publisher: Publisher
) -> None:
    primary, standby = primary_and_standby
    await migrate(primary.url(primary.admin))
    one = primary.url(primary.worker)
    both = one.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{standby.port}/")

    async def told(kind: str, **body: Any) -> tuple[str, int | str | None]:
        reply = await publisher.request("bank", kind, body, timeout=240)
        return reply.outcome, reply.first or reply.reason

    async def has_both() -> bool:
        head = await asyncio.to_thread(
            standby.query, "SELECT max(sequence_number) FROM eventstore.events", database=DATABASE
        )
        return head == "2"

    async with PostgresEventStore.connect(both) as store, serving_domain(bank, store, vhost) as service:
        service._stores[0].breaker._backoff = Backoff(first=0.1, longest=0.2)
        assert await told("Deposit", account="a", amount=10) == ("accepted", 1)
        assert await told("Deposit", account="z", amount=10) == ("accepted", 2)
        assert await told("Transfer", source="b", target="c", amount=1) == ("rejected", "b has 0")
        await eventually(has_both, what="the standby to have both events")
        await asyncio.to_thread(standby.stop)
        assert await told("Transfer", source="a", target="b", amount=5) == ("accepted", 3)
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(standby.start)
        await asyncio.to_thread(standby.promote)
        # Another event gets the number. The next one is also in the part of b; neither was decided on it.
        assert await told("Deposit", account="q", amount=1) == ("accepted", 3)
        assert await told("Transfer", source="z", target="b", amount=1) == ("accepted", 4)
        assert await told("Transfer", source="b", target="c", amount=6) == ("rejected", "b has 1")
