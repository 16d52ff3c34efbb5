"""How statements are carried out on a log in partitions: which of them they look into, and how many rows they touch."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from msgspec.structs import replace

from eventstore import Append, Filter, P, Position
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.appends.batch import columns as append_columns
from eventstore.postgres.reads.branches import branches_of, columns
from eventstore.postgres.statements import statement
from tests.integration.eventstore.plans import Plan, plans
from tests.integration.eventstore.questions import counted, of, request
from tests.integration.eventstore.staging import Connection, lent
from tests.support.fixtures.administration import execute, on
from tests.support.fixtures.environment import Environment

SIZE, FULL = 10_000, 8
EVENTS = SIZE * FULL - SIZE // 2
LAST = SIZE * (FULL - 1) + 1
MATCHING = Filter.matching()
BOOK = MATCHING.any_predicate_of(P("BookID", "b17"))
HOT = MATCHING.any_predicate_of(P("Branch", "hot"))
# Each book has one event in each partition but the last, which is half full. Rare events are in two partitions.
_LOAD = f"""
SELECT eventstore.bound_events({SIZE});
ALTER TABLE eventstore.events VALIDATE CONSTRAINT events_first_partition;
SELECT eventstore.partition_events({SIZE});
SELECT eventstore.add_partition({SIZE} * n + 1, {SIZE}) FROM generate_series(2, {FULL}) AS n;
INSERT INTO eventstore.events
SELECT n, n, CASE WHEN n % 50000 = 0 THEN 'Rare' ELSE (ARRAY['Lent', 'Returned', 'Added'])[1 + n % 3] END, now(),
    jsonb_build_object('BookID', 'b' || n % {SIZE})
        || CASE WHEN n % 50 = 0 THEN '{{"Branch": "hot"}}' ELSE '{{}}' END::jsonb,
    '{{}}'
FROM generate_series(1, {EVENTS}) AS n;
SELECT eventstore.define_head();
"""  # noqa: S608  nothing in it comes from outside


@pytest.fixture(scope="module", params=["stale", "fresh"])
def url(stack_environment: Environment, template_database: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database, with statistics of its size or of empty tables; what tests do in it they roll back."""
    admin_url = stack_environment["DATABASE_ADMIN_URL"]
    name = f"test_{stack_environment.run}_{os.getpid()}_partitions_{request.param}"

    async def make() -> None:
        await execute(admin_url, f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"')
        await execute(on(admin_url, name), _LOAD)
        if request.param == "fresh":
            await execute(on(admin_url, name), "VACUUM ANALYZE eventstore.events")

    try:
        asyncio.run(make())
        yield on(stack_environment["DATABASE_URL"], name)
    finally:
        asyncio.run(execute(admin_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture(params=["force_generic_plan", "force_custom_plan", "auto"])
async def session(url: str, request: pytest.FixtureRequest) -> AsyncIterator[Connection]:
    """A connection with the settings of the store's own, and each way to choose a plan."""
    async with PostgresEventStore.connect(url, pool_size=1) as store, lent(store._pools.primary) as own:
        await own.execute(f"SET plan_cache_mode = {request.param}")
        yield own


async def first_and_eighth(session: Connection, name: str, parameters: Sequence[object]) -> list[Plan]:
    found = await plans(session, statement(name), parameters)
    assert not any(plan.is_sequential for plan in found)
    return [found[0], found[7]]


def whole(*boundaries: Filter, milestones: Sequence[int] = ()) -> tuple[object, ...]:
    return (*columns([branch for boundary in boundaries for branch in branches_of(boundary)]), 1001, list(milestones))


async def test_the_head_is_looked_for_in_the_last_partitions_alone(session: Connection) -> None:
    for plan in await first_and_eighth(session, "head", ()):
        assert plan.touched("events") == 1
        assert plan.opened() == {f"events_from_{LAST}", f"events_from_{LAST + SIZE}"}


async def test_a_key_is_looked_up_in_each_index_on_the_payload(session: Connection) -> None:
    for plan in await first_and_eighth(session, "query", whole(BOOK, milestones=[5, SIZE * 2])):
        assert plan.indexes() <= {"events_payload", "events_pkey"}
        assert plan.touched("events") == 1 + FULL + 2
    nobody = MATCHING.any_predicate_of(P("BookID", "nobody"))
    for plan in await first_and_eighth(session, "query", whole(nobody)):
        assert plan.touched("events") == 1


async def test_types_are_looked_up_in_each_index_on_the_type(session: Connection) -> None:
    for plan in await first_and_eighth(session, "query", whole(MATCHING.any_event_type_of("Rare", "Unknown"))):
        assert plan.indexes() <= {"events_type", "events_pkey"}
        assert plan.touched("events") == 1 + 1


@pytest.mark.parametrize("above", [EVENTS - 50, LAST - 21, EVENTS])
async def test_a_tail_opens_the_partitions_that_it_lies_in(session: Connection, above: int) -> None:
    boundaries = (HOT, MATCHING.any_event_type_of("Lent"), BOOK)
    branches = [replace(branch, above=above) for each in boundaries for branch in branches_of(each)]
    expected = {f"events_from_{LAST + SIZE}", f"events_from_{LAST}"}
    if above < LAST:
        expected.add(f"events_from_{LAST - SIZE}")
    for plan in await first_and_eighth(session, "tail", (*columns(branches), 6000, [], above)):
        assert plan.indexes() <= {"events_pkey"}
        assert plan.touched("events") <= 1 + EVENTS - above + plan.returned - 1
        assert plan.opened() == expected
    walked = [replace(branch, walked=True) for branch in branches]
    parameters = (*columns(walked), 1001, [], [True] * len(walked), 6000, above)
    for plan in await first_and_eighth(session, "mixed", parameters):
        assert plan.touched("events") <= 1 + EVENTS - above + plan.returned - 1


async def test_positions_ranges_and_numbers_open_the_partitions_that_they_lie_in(session: Connection) -> None:
    ends = {f"events_from_{LAST}", f"events_from_{LAST + SIZE}"}
    third = f"events_from_{2 * SIZE + 1}"
    for plan in await first_and_eighth(session, "listed", ([2 * SIZE + 5, 2 * SIZE + 7], [])):
        assert plan.touched("events") == 1 + 2
        assert plan.opened() == {third, *ends}
    for plan in await first_and_eighth(session, "listed", ([], [2 * SIZE + 1])):
        assert plan.touched("events") == 1 + 1
        assert plan.opened() == {third, *ends}
    parameters = (*columns(branches_of(Filter.matching_any_event())), 2 * SIZE + 10, 2 * SIZE + 20, [])
    for plan in await first_and_eighth(session, "range", parameters):
        assert plan.touched("events") == 1 + 10
        assert plan.opened() == {third, *ends}


async def test_the_numbers_of_a_long_history_cost_one_look_at_it(session: Connection) -> None:
    parameters = (*columns(branches_of(HOT)), EVENTS, 100_000, [])
    for plan in await first_and_eighth(session, "numbers", parameters):
        assert plan.indexes() <= {"events_pkey", "events_payload"}
        assert plan.touched("events") == 1 + EVENTS // 50


async def test_what_is_archived_costs_no_statement_anything_as_long_as_nothing_is(session: Connection) -> None:
    asked = (
        ("query", whole(BOOK, milestones=[5])),
        ("query_one", (['{"BookID": "b17"}'], None, 0, None)),
        ("tail", (*columns(branches_of(BOOK)), 6000, [5], 0)),
        ("mixed", (*columns(branches_of(BOOK)), 1001, [5], [False], 6000, 0)),
        ("range", (*columns(branches_of(BOOK)), 10, 20, [5])),
        ("listed", ([7], [5])),
        ("numbers", (*columns(branches_of(BOOK)), EVENTS, 100, [5])),
        ("period", (None, 0, None, None, 10, [5])),
        ("span", (None, None, [5])),
    )
    for name, parameters in asked:
        (plan,) = await plans(session, statement(name), parameters, times=1)
        assert "archive" not in str(plan.root), name


# Counted by the server as rows are touched, also inside functions; and each partition that something was looked for in.
_TOUCHED = """
SELECT c.relname::text, coalesce(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0), 0), s.seq_scan + coalesce(s.idx_scan, 0)
FROM pg_stat_xact_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE c.relnamespace = 'eventstore'::regnamespace AND c.relispartition
"""


@pytest.mark.parametrize(
    ("asked", "verdict", "rows"),
    [
        (request(counted("a"), boundary=of("a"), after=Position(number=EVENTS, token=EVENTS)), "appended", 1),
        (request(counted("a")), "appended", 1),
        (
            request(counted("a"), boundary=of("a"), after=Position(number=EVENTS - 60, token=EVENTS - 60)),
            "appended",
            62,
        ),
        (request(counted("a"), boundary=HOT, after=Position(number=EVENTS - 60, token=EVENTS - 60)), "conflict", 65),
    ],
    ids=["at the head", "unconditional", "near the head", "conflict"],
)
async def test_an_append_touches_the_last_partitions_alone(
    session: Connection, asked: Append, verdict: str, rows: int
) -> None:
    for _ in range(8):
        transaction = session.transaction()
        await transaction.start()
        before = {row[0]: row[1:] for row in await session.fetch(_TOUCHED)}
        (row,) = await session.fetch(statement("append"), *append_columns([asked]))
        after = {row[0]: row[1:] for row in await session.fetch(_TOUCHED)}
        await transaction.rollback()
        assert row["verdict"] == verdict
        touched = {name: after[name][0] - before[name][0] for name in after}
        assert sum(touched.values()) == rows
        looked_into = {name for name in after if after[name][1] > before[name][1]}
        assert looked_into <= {f"events_from_{LAST}", f"events_from_{LAST + SIZE}"}
