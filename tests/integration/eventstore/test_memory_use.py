"""Reads of a log that is far larger than what they may keep in memory."""

import tracemalloc
from collections.abc import Iterator

import pytest

from eventstore import Filter
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.questions import ANY, of
from tests.integration.eventstore.staging import Connection

EVENTS = 50_000
MOST_BYTES = 10_000_000
COUNTED = Filter.matching().any_event_type_of("Counted")
# The first half is about one key, the second about another.
_LOAD = f"""
INSERT INTO eventstore.events
SELECT n, n, 'Counted', now(), jsonb_build_object('Key', CASE WHEN n <= {EVENTS // 2} THEN 'first' ELSE 'second' END),
    '{{"command_type": "Count"}}'
FROM generate_series(1, {EVENTS}) AS n;
"""  # noqa: S608  nothing in it comes from outside


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("way", "boundary"),
    [("read", ANY), ("read", of("second")), ("read", COUNTED), ("subscribe", of("second"))],
)
async def test_a_long_read_takes_constant_memory(
    store: PostgresEventStore, admin: Connection, way: str, boundary: object
) -> None:
    await admin.execute(_LOAD)
    first = EVENTS // 2 + 1 if boundary == of("second") else 1
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    expected = first
    async for event in getattr(store, way)(boundary):
        assert event.sequence_number == expected
        expected += 1
        if expected > EVENTS:
            break
    _, peak = tracemalloc.get_traced_memory()
    assert expected == EVENTS + 1
    assert peak - before < MOST_BYTES
