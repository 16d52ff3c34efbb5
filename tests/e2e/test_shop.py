"""A domain in a package outside the project, served by the unchanged worker beside the library."""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from uuid import UUID, uuid4

from eventstore.postgres import PostgresEventStore
from examples.shop.shop.orders import AddStock, PlaceOrder, domain
from tests.e2e.conftest import Serving
from tests.e2e.program import Worker
from worker.load.oracle import judge
from worker.publisher import Publisher

SHOP = Path(__file__).parents[2] / "examples" / "shop"
BOTH = "handlers.library:domain,shop.orders:domain"
PIECES, ORDERS = 10, 50


async def test_both_domains_are_served_and_nothing_is_oversold(worker: Worker, serving: Serving) -> None:
    both = worker.having(WORKER_DOMAINS=BOTH, PYTHONPATH=str(SHOP))
    delivery = AddStock(delivery="d1", product="lamp", pieces=PIECES)
    commands = {uuid4(): PlaceOrder(order=f"o{number}", product="lamp", pieces=1) for number in range(ORDERS)}
    async with serving(both, 2), Publisher.connect(worker.environment["AMQP_URL"]) as publisher:
        delivered = await both("publish", "AddStock", delivery.model_dump_json(), "--wait", "--json")
        assert delivered.document()["outcome"] == "accepted"
        replies = await asyncio.gather(
            *(publisher.request("orders", "PlaceOrder", order, command_id=key) for key, order in commands.items())
        )
        register = await both("publish", "RegisterReader", '{"ReaderID": "r", "Name": "R"}', "--wait", "--json")
        assert register.document()["outcome"] == "accepted"
    assert Counter((reply.outcome, reply.reason) for reply in replies) == {
        ("accepted", None): PIECES,
        ("rejected", "not enough in stock"): ORDERS - PIECES,
    }
    async with PostgresEventStore.connect(worker.environment["DATABASE_URL"]) as store:
        verdict = await judge(
            store,
            domain,
            {**commands, UUID(delivered.document()["command_id"]): delivery},
            {reply.command_id: [reply] for reply in replies if reply.command_id is not None},
        )
    assert verdict.violations == []
    assert verdict.decided_again == ORDERS + 1


async def test_a_package_is_found_where_the_program_is_called(worker: Worker) -> None:
    """By both ways of calling it, without an installation; unless Python was told not to look there."""
    here = Worker(worker.environment | {"WORKER_DOMAINS": "shop.orders:domain"}, SHOP)
    script = Path(sys.executable).with_name("worker")
    by_script, by_module, forbidden, elsewhere = await asyncio.gather(
        here("check", "--json", script=script),
        here("check", "--json"),
        here.having(PYTHONSAFEPATH="1")("check", "--json", script=script),
        worker.having(WORKER_DOMAINS="shop.orders:domain")("check", "--json", script=script),
    )
    found = {"part": "domains", "good": True, "text": "orders (3 commands)", "note": False}
    assert by_script.document()[0] == by_module.document()[0] == found
    assert not forbidden.document()[0]["good"]
    assert not elsewhere.document()[0]["good"]
