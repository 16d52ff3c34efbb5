"""Fixtures of the fault tests, and the table at the end."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.faults.figures import Figures
from tests.faults.trial import Servers
from tests.support.fixtures.databases import Database

Settle = Callable[[Figures], None]


@pytest.fixture
def servers(database: Database, vhost: str) -> Servers:
    """The test's own database and virtual host on the shared servers."""
    return Servers(database_url=database.url, amqp_url=vhost, replica_urls=database.replica_urls)


@pytest.fixture
def note_memory(record_property: Callable[[str, object], None]) -> Callable[[dict[str, int]], None]:
    """Reports a worker's resident memory, in kilobytes, by the number of commands before."""
    return partial(record_property, "memory")


@pytest.fixture
def settle(record_property: Callable[[str, object], None]) -> Settle:
    """Adds a trial's figures to the table, and fails if anything is wrong."""

    def put(figures: Figures) -> None:
        record_property("figures", figures.as_json())
        assert figures.complaints == ()
        assert (figures.lost, figures.doubled, figures.wrong, figures.dead) == (0, 0, 0, 0)
        assert figures.blows > 0

    return put
