"""How reading statements are carried out on a million events: by what index, and how many rows they touch.

Each at its first call and its eighth, planned for all values at once and for these, with statistics of this table and
of an almost empty one.
"""

from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec.structs import replace

from eventstore import Filter, P
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.arrays import json_array
from eventstore.postgres.reads.branches import branches_of, columns
from eventstore.postgres.statements import statement
from tests.integration.eventstore.library import EVENTS, RECEIPTS, Libraries, Statistics
from tests.integration.eventstore.plans import Plan, plans
from tests.integration.eventstore.staging import Connection, lent

BOOK = Filter.matching().any_predicate_of(P("BookID", "b17"))
MATCHING = Filter.matching()
# The log's last event tells where it ends.
HEAD = 1


@pytest.fixture(params=["stale", "fresh"])
def statistics(request: pytest.FixtureRequest) -> Statistics:
    value: Statistics = request.param
    return value


@pytest.fixture(params=["force_generic_plan", "force_custom_plan", "auto"])
async def session(
    libraries: Libraries, statistics: Statistics, request: pytest.FixtureRequest
) -> AsyncIterator[Connection]:
    """A connection with the settings of the store's own, and each way to choose a plan."""
    url = libraries.stale if statistics == "stale" else libraries.fresh
    async with PostgresEventStore.connect(url, pool_size=1) as store, lent(store._pools.primary) as own:
        assert await own.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
        await own.execute(f"SET plan_cache_mode = {request.param}")
        yield own
    # The pool keeps no session that was changed: it is closed with the store.


def whole(*boundaries: Filter, limit: int | None = 1001, milestones: Sequence[int] = ()) -> tuple[object, ...]:
    """The parameters of ``query.sql``."""
    branches = [branch for boundary in boundaries for branch in branches_of(boundary)]
    return (*columns(branches), limit, list(milestones))


async def first_and_eighth(session: Connection, name: str, parameters: Sequence[object]) -> list[Plan]:
    found = await plans(session, statement(name), parameters)
    assert not any(plan.is_sequential for plan in found)
    return [found[0], found[7]]


async def test_a_key_is_looked_up_in_the_index_on_the_payload(session: Connection) -> None:
    for plan in await first_and_eighth(session, "query", whole(BOOK)):
        assert plan.indexes() <= {"events_payload", "events_pkey"}
        assert plan.touched("events") == HEAD + 10


async def test_a_key_that_nobody_has_touches_nothing(session: Connection) -> None:
    nobody = MATCHING.any_predicate_of(P("BookID", "nobody"))
    for plan in await first_and_eighth(session, "query", whole(nobody)):
        assert plan.touched("events") == HEAD


async def test_several_keys_and_types_cost_what_they_find(session: Connection) -> None:
    lending = MATCHING.any_event_type_of("Lent", "Returned").and_any_predicate_of(P("BookID", "b1"), P("BookID", "b2"))
    for plan in await first_and_eighth(session, "query", whole(lending)):
        assert plan.indexes() <= {"events_payload", "events_pkey"}
        assert plan.touched("events") == HEAD + 20
    together = MATCHING.all_predicates_of(P("BookID", "b50"), P("Branch", "hot"))
    for plan in await first_and_eighth(session, "query", whole(together)):
        assert plan.touched("events") == HEAD + 10


async def test_a_lone_query_costs_what_it_finds(session: Connection) -> None:
    for boundary, found in [
        (BOOK, 10),
        (MATCHING.any_predicate_of(P("BookID", "nobody")), 0),
        (MATCHING.any_event_type_of("Lent", "Returned").and_any_predicate_of(P("BookID", "b3"), P("BookID", "b2")), 20),
        (MATCHING.all_predicates_of(P("BookID", "b50"), P("Branch", "hot")), 10),
        (BOOK.sequence_number_higher_than(EVENTS - 10), 10),
    ]:
        objects = json_array([str(branch.contained) for branch in branches_of(boundary)])
        types = branches_of(boundary)[0].types
        for plan in await first_and_eighth(session, "query_one", (objects, types, boundary.above, 1001)):
            assert plan.indexes() <= {"events_payload", "events_pkey"}
            assert plan.touched("events") == HEAD + found


async def test_a_lone_query_of_a_frequent_value_ends_at_its_limit(session: Connection) -> None:
    hot = MATCHING.any_predicate_of(P("Branch", "hot"))
    objects = json_array([str(branch.contained) for branch in branches_of(hot)])
    for plan in await first_and_eighth(session, "query_one", (objects, None, 0, 1001)):
        assert plan.indexes() <= {"events_payload", "events_pkey"}
        assert plan.returned == HEAD + 1001
        assert plan.touched("events") == HEAD + 1001


async def test_types_are_looked_up_in_the_index_on_the_type(session: Connection) -> None:
    for plan in await first_and_eighth(session, "query", whole(MATCHING.any_event_type_of("Rare", "Unknown"))):
        assert plan.indexes() <= {"events_type", "events_pkey"}
        assert plan.touched("events") == HEAD + 11


async def test_queries_that_share_a_round_trip_cost_what_each_costs_alone(session: Connection) -> None:
    many = [MATCHING.any_predicate_of(P("BookID", f"b{number}")) for number in range(2, 52)]
    for plan in await first_and_eighth(session, "query", whole(*many, MATCHING.any_event_type_of("Rare"))):
        assert plan.indexes() <= {"events_payload", "events_type", "events_pkey"}
        assert plan.touched("events") == HEAD + 50 * 10 + 11


async def test_the_limit_ends_the_reading_of_a_long_history(session: Connection) -> None:
    hot = MATCHING.any_predicate_of(P("Branch", "hot"))
    for plan in await first_and_eighth(session, "query", whole(hot, limit=101)):
        assert plan.touched("events") == HEAD + 101
    for plan in await first_and_eighth(session, "query", whole(hot, limit=None)):
        assert plan.touched("events") == HEAD + EVENTS / 50


async def test_a_position_is_looked_up_by_its_number(session: Connection) -> None:
    for plan in await first_and_eighth(session, "query", whole(BOOK, milestones=[EVENTS // 2])):
        assert plan.touched("events") == HEAD + 11


@pytest.mark.parametrize("above", [EVENTS - 50, EVENTS, EVENTS + 1000])
async def test_a_tail_costs_its_length_whatever_lies_before_it(session: Connection, above: int) -> None:
    branches = [
        replace(branch, above=above)
        for boundary in (
            MATCHING.any_predicate_of(P("Branch", "hot")),
            MATCHING.any_event_type_of("Lent"),
            MATCHING.any_event_type_of("Lent").and_any_predicate_of(P("BookID", "b1")),
            BOOK,
        )
        for branch in branches_of(boundary)
    ]
    for plan in await first_and_eighth(
        session, "tail", (*columns(branches), 4096, [], min(branch.above for branch in branches))
    ):
        assert plan.indexes() <= {"events_pkey"}
        # Each event of the tail once, and each that is found once more.
        assert plan.touched("events") <= HEAD + max(0, EVENTS - above) + plan.returned - 1


@pytest.mark.parametrize(("types", "read"), [(("Lent",), 1000), (("Rare",), 0), (("Lent", "Returned", "Added"), 3000)])
async def test_events_of_a_tail_that_have_other_types_are_passed_over(
    session: Connection, types: tuple[str, ...], read: int
) -> None:
    boundary = MATCHING.any_event_type_of(*types).and_any_predicate_of(P("BookID", "b1"), P("BookID", "b2"))
    above = EVENTS - 3001  # the last event is one of the rare ones
    branches = [replace(branch, above=above) for branch in branches_of(boundary)]
    parameters = (*columns(branches), 4096, [], above)
    for plan in await first_and_eighth(session, "tail", parameters):
        # The fields of those that are read, and of the two branches.
        assert read <= plan.expanded("jsonb_each") <= 4 * (read + 1) + 2
    (walk,) = [row for row in await session.fetch(statement("tail"), *parameters) if row["branch"] == -2]
    assert (walk["sequence_number"], walk["token"]) == (3001, read + ("Rare" in types))


async def test_a_tail_that_is_too_long_is_not_begun(session: Connection) -> None:
    branches = branches_of(BOOK.narrowed_above(10))
    for plan in await first_and_eighth(session, "tail", (*columns(branches), 4096, [10], 10)):
        assert plan.touched("events") == HEAD + 1


def some_walked(
    walked: Sequence[Filter], others: Sequence[Filter], *, limit: int | None = 1001, longest: int = 4096
) -> tuple[object, ...]:
    """The parameters of ``mixed.sql``."""
    tails = [branch for boundary in walked for branch in branches_of(boundary, walked=True)]
    branches = [*tails, *(branch for boundary in others for branch in branches_of(boundary))]
    least = min([branch.above for branch in branches if branch.walked], default=0)
    return (*columns(branches), limit, [], [branch.walked for branch in branches], longest, least)


@pytest.mark.parametrize("tail", [0, 50, 4000])
async def test_tails_and_whole_histories_in_one_statement_cost_what_each_costs_alone(
    session: Connection, tail: int
) -> None:
    hot = MATCHING.any_predicate_of(P("Branch", "hot")).narrowed_above(EVENTS - tail)
    lent = MATCHING.any_event_type_of("Lent").and_any_predicate_of(P("BookID", "b1")).narrowed_above(EVENTS - tail)
    others = [BOOK, MATCHING.any_event_type_of("Rare"), MATCHING.any_predicate_of(P("BookID", "nobody"))]
    for plan in await first_and_eighth(session, "mixed", some_walked([hot, lent], others)):
        assert plan.indexes() <= {"events_pkey", "events_payload", "events_type"}
        # Each event of the tail once, and each that is found in it once more.
        assert plan.touched("events") <= HEAD + tail + tail / 50 + tail / 1000 + 10 + 11


async def test_a_tail_that_turns_out_too_long_costs_its_history(session: Connection) -> None:
    for plan in await first_and_eighth(session, "mixed", some_walked([BOOK.narrowed_above(10)], [], longest=100)):
        assert plan.indexes() <= {"events_pkey", "events_payload"}
        assert plan.touched("events") == HEAD + 10
    for plan in await first_and_eighth(session, "mixed", some_walked([], [BOOK] * 2)):
        assert plan.touched("events") == HEAD + 20


async def test_any_event_beside_others_is_read_in_order_up_to_the_limit(session: Connection) -> None:
    everything = Filter.matching_any_event().narrowed_above(EVENTS // 2)
    for plan in await first_and_eighth(session, "mixed", some_walked([], [everything, BOOK], limit=101)):
        assert plan.indexes() <= {"events_pkey", "events_payload"}
        assert plan.touched("events") == HEAD + 101 + 10


async def test_the_numbers_of_a_long_history_cost_one_look_at_it(session: Connection) -> None:
    hot = MATCHING.any_predicate_of(P("Branch", "hot")).narrowed_above(EVENTS // 2)
    parameters = (*columns(branches_of(hot)), EVENTS - 1, 100_000, [])
    for plan in await first_and_eighth(session, "numbers", parameters):
        assert plan.indexes() <= {"events_pkey", "events_payload"}
        assert plan.touched("events") == HEAD + EVENTS / 50
    for plan in await first_and_eighth(session, "numbers", (*parameters[:-2], 100, [])):
        assert plan.touched("events") <= HEAD + EVENTS / 100 + 101


async def test_the_numbers_of_types_are_read_from_the_index_on_the_type(session: Connection) -> None:
    for types, touched in ((("Rare", "Unknown"), 4), (("Rare", "Lent"), 4 + 100)):
        boundary = MATCHING.any_event_type_of(*types).narrowed_above(EVENTS // 2)
        parameters = (*columns(branches_of(boundary)), EVENTS - 1, 100, [])
        for plan in await first_and_eighth(session, "numbers", parameters):
            assert plan.indexes() <= {"events_pkey", "events_type"}
            assert plan.touched("events") == HEAD + touched


async def test_events_are_listed_by_their_numbers(session: Connection) -> None:
    for plan in await first_and_eighth(session, "listed", (list(range(1, EVENTS, 1000)), [])):
        assert plan.indexes() <= {"events_pkey"}
        assert plan.touched("events") == HEAD + 1000


async def test_a_range_costs_its_length(session: Connection) -> None:
    for boundary in (Filter.matching_any_event(), BOOK):
        parameters = (*columns(branches_of(boundary)), 70_000, 71_000, [])
        for plan in await first_and_eighth(session, "range", parameters):
            assert plan.indexes() <= {"events_pkey"}
            assert plan.touched("events") == HEAD + 1000


async def test_a_receipt_is_looked_up_by_its_key(session: Connection) -> None:
    key = "00000000-0000-0000-0000-00000000000a"
    for name, parameters in (("receipts", ([key], "")), ("receipts_of", (key,)), ("answered", (key, "", "\\x00"))):
        for plan in await first_and_eighth(session, name, parameters):
            assert plan.touched("receipts") == 1


async def test_a_page_of_receipts_costs_its_length_wherever_it_lies(session: Connection) -> None:
    # As the store asks. Planned for its values, with old statistics, a page would be sorted from all that follow it.
    await session.execute("SET plan_cache_mode = force_generic_plan")
    for last in (None, 0, RECEIPTS // 2, RECEIPTS - 10):
        after = None if last is None else f"{last:032x}"
        for plan in await first_and_eighth(session, "receipts_page", (after, "" if after else None, 100)):
            assert plan.returned == (9 if last == RECEIPTS - 10 else 100)
            assert plan.touched("receipts") <= 101


async def test_the_head_is_one_row(session: Connection) -> None:
    for plan in await first_and_eighth(session, "head", ()):
        assert plan.touched("schema_version") == 1
        assert plan.touched("events") == HEAD
