"""Keys that Python and PostgreSQL compare differently: changes of one batch have the result of one by one."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from eventstore.postgres import PostgresEventStore
from handlers import Change, DomainEvent, Projected, Projection, Table
from tests.integration.reading.projecting import book, coordinating, reached, rows
from tests.support.domains.ledger import EVENTS, Booked, ledger
from tests.support.fixtures.databases import Database

# Berlin's clock shows this time twice: an hour lies between the two.
_FIRST = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
_SECOND = _FIRST.replace(fold=1)

KEYS: dict[str, tuple[type, Any, Any, bool]] = {
    "no numbers": (Decimal, Decimal("NaN"), Decimal("-NaN"), True),
    "scales": (Decimal, Decimal("1.0"), Decimal("1.00"), True),
    "zeros": (Decimal, Decimal(0), Decimal("-0.0"), True),
    "a repeated hour": (datetime, _FIRST, _SECOND, False),
    "zones": (datetime, _SECOND, _SECOND.astimezone(UTC), True),
    "compositions": (str, "\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}", False),
    "blanks": (str, "a", "a ", False),
}


@pytest.mark.parametrize("name", KEYS)
async def test_keys_of_a_batch_are_the_same_where_they_are_for_the_server(database: Database, name: str) -> None:
    kind, first, second, is_same = KEYS[name]
    table = Table("keyed", columns={"key": kind, "number": int}, key=("key",))

    def changes(seen: Projected[DomainEvent]) -> Change | None:
        match seen.event:
            case Booked(account="put first"):
                return table.upsert(key=first, number=seen.number)
            case Booked(account="delete second"):
                return table.delete(key=second)
            case Booked(account="put second"):
                return table.upsert(key=second, number=seen.number)
            case _:
                return table.update(key=first, number=seen.number)

    projection = Projection(name="balances", events=EVENTS, tables=(table,), changes=changes)
    async with PostgresEventStore.connect(database.url) as store:
        deleted = await book(store, "put first", "delete second")
        async with coordinating(database.url, ledger(projection)):
            await reached(database.url, deleted)
        assert await _numbers(database) == ([] if is_same else [1])
        put = await book(store, "put first", "put second", "change first")
        async with coordinating(database.url, ledger(projection)):
            await reached(database.url, put)
        assert await _numbers(database) == ([5] if is_same else [4, 5])


async def _numbers(database: Database) -> list[int]:
    return [number for (number,) in await rows(database.url, "SELECT number FROM read_ledger.keyed ORDER BY number")]
