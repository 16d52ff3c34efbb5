"""Read models over connections that a program has."""

import pytest

from eventstore import StoreMisconfigured
from eventstore.postgres import Session
from tests.integration.reading.projecting import rows
from tests.support.fixtures.databases import Database
from tests.support.stores import POOLS, handed_in
from worker.errors import ProjectionError
from worker.reading.followers import FollowerName, Followers
from worker.reading.read_models import ReadModels

NAME = FollowerName(kind="projection", domain="ledger", name="balances")


@pytest.mark.parametrize("kind", POOLS)
async def test_they_ask_by_a_pool_and_give_each_connection_back(database: Database, kind: str) -> None:
    session = Session(database.url, purpose="test")
    async with session.transaction() as transaction:
        await Followers(transaction).add(NAME, version=1, layout=b"", is_current=True)
    await session.close()
    await rows(database.admin_url, "UPDATE reading.followers SET number = 7, token = 8")
    # One that is not given back leaves nothing for the next question.
    async with handed_in(kind, database.url, size=1) as pool:
        async with ReadModels.over(pool) as models:
            at = await models.position("ledger.balances")
            assert (at.number, at.token) == (7, 8)
            assert await models.wait_for("ledger.balances", at, seconds=0) == at
            with pytest.raises(ProjectionError, match=r"there is no projection 'ledger\.balance' here"):
                await models.position("ledger.balance")
        async with ReadModels.over(pool) as models:
            assert await models.position("ledger.balances") == at


def test_what_is_no_pool_is_told() -> None:
    with pytest.raises(StoreMisconfigured, match="a str cannot be handed in"):
        ReadModels.over("postgresql://127.0.0.1/events")
