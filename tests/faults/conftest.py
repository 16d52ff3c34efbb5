"""Fixtures of the fault tests, and the table that they end with."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.faults.figures import Figures
from tests.faults.trial import Ground
from tests.support.fixtures.databases import Database

Settle = Callable[[Figures], None]


@pytest.fixture
def ground(database: Database, vhost: str) -> Ground:
    """A database and a virtual host of the test's own, on the servers that all tests share."""
    return Ground(database_url=database.url, amqp_url=vhost, replica_urls=database.replica_urls)


@pytest.fixture
def note_memory(record_property: Callable[[str, object], None]) -> Callable[[dict[str, int]], None]:
    """Puts below the table how many kilobytes a worker holds, by the number of commands before."""
    return partial(record_property, "memory")


@pytest.fixture
def settle(record_property: Callable[[str, object], None]) -> Settle:
    """Puts what a trial found into the table, and fails where anything is wrong."""

    def put(figures: Figures) -> None:
        record_property("figures", figures.as_json())
        assert figures.complaints == ()
        assert (figures.lost, figures.doubled, figures.wrong, figures.dead) == (0, 0, 0, 0)
        assert figures.blows > 0

    return put
