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
from eventstore.postgres.appends.batch import columns
from tests.integration.eventstore.questions import request
from tests.integration.eventstore.staging import Connection, connected
from tests.support import generated
from tests.support.fixtures.databases import Database

# By containment of each predicate, not by a join of fields: another way than both the index and the function take.
_MATCHING = """
SELECT e.place::integer AS event, f.part
FROM unnest($1::text::text[], $2::text::timestamptz[], $3::text::jsonb[])
    WITH ORDINALITY AS e (event_type, occurred_at, payload, place)
CROSS JOIN unnest($4::integer[], $5::jsonb[], $6::timestamptz[], $7::timestamptz[]) AS f (part, items, since, until)
WHERE EXISTS (
        SELECT FROM jsonb_array_elements(f.items) AS i (item)
        WHERE (i.item -> 0 = '[]' OR i.item -> 0 ? e.event_type)
            AND (SELECT count(*) FROM jsonb_array_elements(i.item -> 2) AS p (fragment) WHERE e.payload @> p.fragment)
                >= (i.item -> 1)::integer
    )
    AND (f.since IS NULL OR e.occurred_at >= f.since)
    AND (f.until IS NULL OR e.occurred_at <= f.until)
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


def told(members: list[int]) -> Iterator[tuple[int, list[int], set[int]]]:
    """For each member how many events it has, which parts it reads, and which parts its events lie in."""
    at = 0
    while at < len(members):
        events, _, reads = members[at : at + 3]
        meets = at + 3 + reads
        following = meets + 1 + members[meets]
        yield events, members[at + 3 : meets], set(members[meets + 1 : following])
        at = following


def text(boundary: Filter) -> str:
    """A filter's items, as the statement reads them."""
    items = []
    for item in boundary.items:
        fragments = ", ".join(predicate.fragment for predicate in item.predicates)
        items.append(f"[{json.dumps(item.event_types)}, {item.predicates_needed}, [{fragments}]]")
    return f"[{', '.join(items)}]"


@given(
    members=st.lists(
        st.tuples(st.lists(generated.facts, max_size=2), st.lists(generated.filters, min_size=1, max_size=3)),
        min_size=2,
        max_size=6,
    ),
    chained=st.booleans(),
)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_what_is_told_of_a_batch_is_what_the_database_finds(
    session: Session, members: list[tuple[list[Event], list[Filter]]], *, chained: bool
) -> None:
    requests = [
        request(*events, boundary=[BoundaryPart(filter=each) for each in filters]) for events, filters in members
    ]
    laid_out: Any = columns(requests, chained=chained)
    members_told = list(told([int(number) for number in laid_out[4][1:-1].split(",")]))
    filters: dict[int, Filter] = {}
    for (_, reads, _), asked in zip(members_told, requests, strict=True):
        for number, part in zip(reads, asked.parts, strict=True):
            assert filters.setdefault(number, part.filter) == part.filter
    found = session.matching(
        *laid_out[11:14],
        list(filters),
        [text(each) for each in filters.values()],
        [each.since for each in filters.values()],
        [each.until for each in filters.values()],
    )
    place = 0
    for events, _, meets in members_told:
        assert meets == {part for event, part in found if place < event <= place + events}
        place += events
