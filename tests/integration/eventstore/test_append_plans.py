"""What an append touches on a million events: the tail above its position, and nothing before it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from eventstore import Append, BoundaryPart, Filter, OwnRange, P, Position
from eventstore.postgres.appends.batch import columns
from eventstore.postgres.statements import statement
from tests.integration.eventstore.library import EVENTS, Libraries, Statistics
from tests.integration.eventstore.questions import counted, of, request
from tests.integration.eventstore.staging import Connection, connected

HOT = Filter.matching().any_predicate_of(P("Branch", "hot"))
HEAD = Position(number=EVENTS, token=EVENTS)

# Counted by the server as rows are touched, also inside functions.
_TOUCHED = """
SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
WHERE schemaname = 'eventstore' AND relname = $1
"""


@dataclass(frozen=True, slots=True)
class Touched:
    """How many rows of each table a batch touched, and what became of its members."""

    verdicts: list[str]
    events: int
    receipts: int


@pytest.fixture(params=["stale", "fresh"])
def statistics(request: pytest.FixtureRequest) -> Statistics:
    value: Statistics = request.param
    return value


@pytest.fixture
async def session(libraries: Libraries, statistics: Statistics) -> AsyncIterator[Connection]:
    """A connection with the server's settings: whatever the function needs, it brings along."""
    async with connected(libraries.stale if statistics == "stale" else libraries.fresh) as connection:
        yield connection


async def first_and_eighth(session: Connection, requests: Sequence[Append], *, chained: bool = False) -> list[Touched]:
    """Have a batch judged eight times, each undone."""
    found = []
    for _ in range(8):
        transaction = session.transaction()
        await transaction.start()
        before = [await session.fetchval(_TOUCHED, table) for table in ("events", "receipts")]
        rows = await session.fetch(statement("append"), *columns(requests, chained=chained))
        after = [await session.fetchval(_TOUCHED, table) for table in ("events", "receipts")]
        await transaction.rollback()
        found.append(Touched([row["verdict"] for row in rows], after[0] - before[0], after[1] - before[1]))
    return [found[0], found[7]]


def near(distance: int) -> Position:
    return Position(number=EVENTS - distance, token=EVENTS - distance)


async def test_an_append_at_the_head_touches_the_head_alone(session: Connection) -> None:
    for touched in await first_and_eighth(session, [request(counted("a"), boundary=of("a"), after=HEAD)]):
        assert touched == Touched(["appended"], 1, 0)


async def test_an_unconditional_append_touches_the_head_alone(session: Connection) -> None:
    for touched in await first_and_eighth(session, [request(counted("a"))]):
        assert touched == Touched(["appended"], 1, 0)


async def test_an_append_with_a_key_looks_for_its_receipt_and_no_other(session: Connection) -> None:
    fresh = request(counted("a"), boundary=of("a"), after=HEAD, key=uuid4())
    for touched in await first_and_eighth(session, [fresh]):
        assert touched == Touched(["appended"], 1, 0)
    # Alone it is asked first whether its key has a receipt at all, for which the index may be enough, and then which.
    for touched in await first_and_eighth(session, [request(counted("a"), key=UUID(int=77))]):
        assert touched in (Touched(["reused"], 1, 1), Touched(["reused"], 1, 2))
    for touched in await first_and_eighth(session, [fresh, request(counted("b"), key=UUID(int=77))]):
        assert touched == Touched(["appended", "reused"], 1, 1)


async def test_a_boundary_with_a_long_history_costs_its_tail(session: Connection) -> None:
    quiet = request(counted("a"), boundary=of("a"), after=near(60))
    for touched in await first_and_eighth(session, [quiet]):
        assert touched == Touched(["appended"], 62, 0)  # the head, the tail, and the event at the position
    for touched in await first_and_eighth(session, [request(counted("a"), boundary=HOT, after=near(60))]):
        # And the one that conflicts, once to name it and once with all that were not seen, of which there are two.
        assert touched == Touched(["conflict"], 65, 0)
    for touched in await first_and_eighth(session, [request(boundary=HOT, after=near(4))]):
        assert touched == Touched(["conflict"], 8, 0)


async def test_a_position_too_far_behind_costs_a_look_at_its_event(session: Connection) -> None:
    for touched in await first_and_eighth(session, [request(counted("a"), boundary=HOT, after=near(5000))]):
        assert touched == Touched(["behind"], 2, 0)


async def test_a_batch_costs_one_tail_and_one_look_a_member(session: Connection) -> None:
    members = [request(counted(f"k{n}"), boundary=of(f"k{n}"), after=near(n % 40), key=uuid4()) for n in range(128)]
    for touched in await first_and_eighth(session, members):
        assert touched.verdicts == ["appended"] * 128
        # The head, the event at each of forty positions, and the tail, which is 39 long.
        assert touched.events == 1 + 40 + 39
        assert touched.receipts == 0


async def test_a_batch_of_duplicates_looks_for_its_receipts_and_no_others(session: Connection) -> None:
    members = [request(counted("a"), key=UUID(int=1000 + n)) for n in range(64)]
    for touched in await first_and_eighth(session, members):
        assert touched.verdicts == ["reused"] * 64
        assert touched.receipts == 64
        assert touched.events == 1


def seen(key: str, distance: int, *ranges: tuple[int, int]) -> BoundaryPart:
    """A part that was read up to so far below the head, and besides these ranges, told by how far below they lie."""
    besides = tuple(OwnRange(first=EVENTS - first, last=near(last)) for first, last in ranges)
    return BoundaryPart(filter=of(key), after=near(distance), besides=besides)


async def test_what_was_seen_besides_is_not_walked(session: Connection) -> None:
    # Up to 900, then 800 to 500, then all up to the head.
    asked = request(counted("a"), boundary=[seen("a", 900, (899, 500), (499, 0))])
    for touched in await first_and_eighth(session, [asked]):
        assert touched == Touched(["appended"], 1 + 3, 0)  # the head, and the end of each
    asked = request(counted("a"), boundary=[seen("a", 900, (889, 500), (499, 20)), seen("b", 5)])
    for touched in await first_and_eighth(session, [asked]):
        assert touched == Touched(["appended"], 1 + 4 + 10 + 20, 0)  # and what neither has seen


async def test_a_chain_of_parts_costs_one_tail_and_one_look_a_position(session: Connection) -> None:
    members = [
        request(
            counted("hot", Own=f"k{n}"),
            boundary=[seen("hot", 30, (20, 11)), seen(f"k{n}", n % 40)],
            key=uuid4(),
        )
        for n in range(128)
    ]
    for touched in await first_and_eighth(session, members, chained=True):
        assert touched.verdicts == ["appended"] * 128
        # The head, the event at each of forty positions (a range ends at one of them), and the tail, which is 39 long.
        assert touched.events == 1 + 40 + 39
        assert touched.receipts == 0


async def test_a_conflict_with_a_hot_part_is_looked_up_once_a_member(session: Connection) -> None:
    hot = BoundaryPart(filter=HOT, after=near(60))
    members = [request(counted("a"), boundary=[seen(f"k{n}", 0), hot], key=uuid4()) for n in range(64)]
    for touched in await first_and_eighth(session, members, chained=True):
        assert touched.verdicts == ["conflict"] * 64
        assert touched.events == 1 + 2 + 60 + 64
