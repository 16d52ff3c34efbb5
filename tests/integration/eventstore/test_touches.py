"""Which parts of a batch an event lies in is told by the program; here the database finds it out for itself."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import BoundaryPart, Event, Filter
from eventstore.postgres.batch import columns
from tests.contract import generated
from tests.fixtures.databases import Database
from tests.integration.eventstore.questions import request
from tests.integration.eventstore.staging import Connection, connected

# By containment of each predicate, not by a join of fields: another way than both the index and the function take.
_MATCHING = """
SELECT e.place::integer AS event, f.part::integer
FROM unnest($1::text[], $2::timestamptz[], $3::jsonb[]) WITH ORDINALITY AS e (event_type, occurred_at, payload, place)
CROSS JOIN unnest($4::text[]) WITH ORDINALITY AS f (text, part)
CROSS JOIN LATERAL (SELECT f.text::jsonb) AS t (filter)
WHERE EXISTS (
        SELECT FROM jsonb_array_elements(t.filter -> 'items') AS i (item)
        WHERE (i.item -> 0 = 'null' OR i.item -> 0 ? e.event_type)
            AND (SELECT count(*) FROM jsonb_array_elements(i.item -> 2) AS p (fragment) WHERE e.payload @> p.fragment)
                >= (i.item -> 1)::integer
    )
    AND (t.filter ->> 'since' IS NULL OR e.occurred_at >= (t.filter ->> 'since')::timestamptz)
    AND (t.filter ->> 'until' IS NULL OR e.occurred_at <= (t.filter ->> 'until')::timestamptz)
"""


class Session:
    """A connection for a test that is no coroutine."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._resources = AsyncExitStack()
        self._connection: Connection = self._runner.run(self._resources.enter_async_context(connected(url)))

    def matching(self, *parameters: object) -> set[tuple[int, int]]:
        return {tuple(row) for row in self._runner.run(self._connection.fetch(_MATCHING, *parameters))}

    def close(self) -> None:
        self._runner.run(self._resources.aclose())
        self._runner.close()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    opened = Session(database.url)
    yield opened
    opened.close()


def told(members: list[int]) -> Iterator[tuple[int, set[int], set[int]]]:
    """For each member how many events it has, which parts it reads, and which parts its events lie in."""
    at = 0
    while at < len(members):
        events, _, reads = members[at : at + 3]
        meets = at + 3 + reads
        following = meets + 1 + members[meets]
        yield events, set(members[at + 3 : meets]), set(members[meets + 1 : following])
        at = following


@given(
    members=st.lists(
        st.tuples(st.lists(generated.facts, max_size=2), st.lists(generated.filters, min_size=1, max_size=3)),
        min_size=2,
        max_size=6,
    ),
    chained=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_told_of_a_batch_is_what_the_database_finds(
    session: Session, members: list[tuple[list[Event], list[Filter]]], *, chained: bool
) -> None:
    requests = [
        request(*events, boundary=[BoundaryPart(filter=each) for each in filters]) for events, filters in members
    ]
    laid_out: Any = columns(requests, chained=chained)
    found = session.matching(laid_out[8], laid_out[9], laid_out[10], laid_out[7])
    texts, place = laid_out[7], 0
    for (events, reads, meets), asked in zip(told(laid_out[3]), requests, strict=True):
        assert meets == {part for event, part in found if place < event <= place + events}
        assert len(reads) >= len({part.filter for part in asked.parts or ()})
        assert all(json.loads(texts[part - 1])["items"] for part in reads)
        place += events
