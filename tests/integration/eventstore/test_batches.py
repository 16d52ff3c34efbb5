"""Several appends in one batch: whom the others concern, and whom not."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from eventstore import (
    START,
    Append,
    ConcurrencyConflict,
    Event,
    Filter,
    HistoryDiverged,
    IdempotencyKeyReused,
    Outcome,
    OutcomeKind,
    Position,
    Receipt,
)
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.appends.batch import Behind, Resend, Verdict
from eventstore.postgres.appends.group_commit import GroupCommit
from eventstore.postgres.appends.neighbours import judged_by_neighbours
from tests.integration.eventstore.questions import ANY, counted, keys, numbers, of, request
from tests.integration.eventstore.staging import Connection, head_locked, waiting
from tests.support.fixtures.databases import Database


@pytest.fixture
def batches(store: PostgresEventStore) -> GroupCommit:
    return store._appender._batches


def firsts(verdicts: list[Verdict]) -> list[int | None]:
    """The first number of each receipt; every verdict must be one."""
    assert all(isinstance(verdict, Receipt) for verdict in verdicts)
    return [verdict.first for verdict in verdicts if isinstance(verdict, Receipt)]


async def settle_together(batches: GroupCommit, *requests: Append) -> list[Verdict]:
    """Settle requests that are handed in at once, and so form one batch."""
    return await asyncio.gather(*(batches.settle(each) for each in requests))


async def test_members_that_do_not_meet_all_pass(batches: GroupCommit) -> None:
    verdicts = await batches.send([request(counted(key), boundary=of(key)) for key in "abcdefgh"])
    assert firsts(verdicts) == list(range(1, 9))


async def test_of_sixteen_members_on_one_boundary_the_first_passes(batches: GroupCommit) -> None:
    passed, *others = await batches.send([request(counted("a"), boundary=of("a")) for _ in range(16)])
    assert firsts([passed]) == [1]
    assert others == [Resend()] * 15


async def test_a_member_that_meets_an_earlier_one_is_sent_again_and_gets_its_conflict(
    store: PostgresEventStore, batches: GroupCommit
) -> None:
    requests = [request(counted("a"), boundary=of("a")), request(counted("b"), boundary=of("a", "b"))]
    first, second = await settle_together(batches, *requests)
    assert firsts([first]) == [1]
    assert isinstance(second, ConcurrencyConflict)
    assert (second.sequence_number, second.event_type) == (1, "Counted")
    assert keys(await store.query(ANY)) == ["a"]


async def test_members_that_are_sent_again_keep_their_order(store: PostgresEventStore, batches: GroupCommit) -> None:
    # All but the first meet the first; its number lies below their bound, so that in the next batch they pass.
    beyond = of("a").narrowed_above(1)
    members = [request(counted("a"))] + [request(counted("b", Place=place), boundary=beyond) for place in range(5)]
    verdicts = await settle_together(batches, *members)
    assert firsts(verdicts) == [1, 2, 3, 4, 5, 6]
    assert [event.payload["Place"] for event in (await store.query(of("b"))).events] == list(range(5))


async def test_an_earlier_member_that_did_not_pass_stands_in_nobodys_way(batches: GroupCommit) -> None:
    await batches.send([request(counted("a"))])
    refused, passed = await batches.send(
        [request(counted("a"), counted("b"), boundary=of("a")), request(counted("b"), boundary=of("b"))]
    )
    assert isinstance(refused, ConcurrencyConflict)
    assert firsts([passed]) == [2]


async def test_a_member_is_not_concerned_by_a_later_one(batches: GroupCommit) -> None:
    verdicts = await batches.send([request(boundary=of("a")), request(counted("a"))])
    assert firsts(verdicts) == [None, 1]
    assert isinstance(verdicts[0], Receipt)
    assert verdicts[0].position.number == 0


@pytest.mark.parametrize(
    ("boundary", "meets"),
    [
        (Filter.matching().any_event_type_of("Counted"), True),
        (Filter.matching().any_event_type_of("Other"), False),
        (ANY, True),
        (Filter.matching_any_event().sequence_number_higher_than(1000), True),  # its number is not final yet
        (Filter.matching_any_event().occurred_until(counted("a").occurred_at.replace(year=2000)), False),
        (Filter.matching_any_event().occurred_from(counted("a").occurred_at.replace(year=2000)), True),
    ],
)
async def test_what_a_member_meets_is_what_its_boundary_matches(
    batches: GroupCommit, boundary: Filter, *, meets: bool
) -> None:
    _, second = await batches.send([request(counted("a")), request(counted("b"), boundary=boundary)])
    assert isinstance(second, Resend if meets else Receipt)


async def test_a_key_twice_in_one_batch_is_recorded_once(store: PostgresEventStore, batches: GroupCommit) -> None:
    key = uuid4()
    first, second = await batches.send([request(counted("a"), key=key), request(counted("a"), key=key)])
    assert isinstance(first, Receipt)
    assert isinstance(second, Receipt)
    assert (first.duplicate, second.duplicate) == (False, True)
    assert second == first.as_duplicate()
    assert len((await store.query(ANY)).events) == 1


async def test_a_key_twice_in_one_batch_waits_for_the_first_ones_verdict(
    store: PostgresEventStore, batches: GroupCommit
) -> None:
    await store.append([counted("a")])
    key = uuid4()
    refused = request(counted("a"), boundary=of("a"), key=key)
    verdicts = await batches.send([refused, refused])
    assert [type(verdict) for verdict in verdicts] == [ConcurrencyConflict, Resend]
    verdicts = await settle_together(batches, refused, refused)
    assert [type(verdict) for verdict in verdicts] == [ConcurrencyConflict, ConcurrencyConflict]
    assert await store.receipt(key) is None


async def test_a_key_twice_in_one_batch_is_no_conflict_with_what_came_after_it(
    store: PostgresEventStore, batches: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the log before has anything against the second, nobody has looked: its number would be a wrong one."""
    monkeypatch.setattr("eventstore.postgres.appends.batch._TAIL_LIMIT", 2)
    await store.append([counted("b") for _ in range(4)])
    position = (await store.query(ANY)).position
    key = uuid4()
    # Too far behind to be judged; the same key; and what lies in its boundary.
    first = request(counted("a"), boundary=of("a"), key=key)
    second = request(counted("c"), boundary=of("b"), key=key, outcome=Outcome(kind=OutcomeKind.UNCHANGED))
    third = request(counted("b"), boundary=of("b"), after=position)
    found = await settle_together(batches, first, second, third)
    assert isinstance(found[2], Receipt)
    verdicts = judged_by_neighbours([first, second, third], [Behind(), Resend(), found[2]])
    assert verdicts == [Behind(), Resend(), found[2]]


async def test_who_comes_while_the_same_question_is_under_way_is_answered_with_it(
    batches: GroupCommit, database: Database, admin: Connection
) -> None:
    """Sent afterwards, from a position that this process itself has moved on from, it could only lose."""
    sent: list[Sequence[Append]] = []
    send = batches.send

    async def noted(appends: Sequence[Append], *, chained: bool = False) -> list[Verdict]:
        sent.append(appends)
        return await send(appends, chained=chained)

    batches.send = noted  # type: ignore[method-assign]  # it counts
    first, same, keyed = (request(counted("a"), boundary=of("a"), key=key) for key in (None, None, uuid4()))
    wider, other = request(counted("c"), boundary=of("a", "c")), request(counted("b"), boundary=of("b"))
    async with head_locked(database.admin_url):
        leading = asyncio.create_task(batches.settle(first))
        await waiting(admin, 1)
        late = [asyncio.create_task(batches.settle(each)) for each in (same, keyed, wider, other, same)]
        await waiting(admin, 1)
    assert firsts([await leading]) == [1]
    told, *judged, again = await asyncio.gather(*late)
    assert [list(each) for each in sent] == [[first], [keyed, wider, other]]
    assert [type(verdict) for verdict in judged] == [ConcurrencyConflict, ConcurrencyConflict, Receipt]
    for verdict in (told, again):
        assert isinstance(verdict, ConcurrencyConflict)
        assert verdict.sequence_number == 1
        assert verdict.unseen is not None
        assert (keys(verdict.unseen), verdict.unseen.position.number) == (["a"], 1)


async def test_a_key_in_a_later_batch_gets_the_first_receipt(batches: GroupCommit) -> None:
    key = uuid4()
    outcome = Outcome(kind=OutcomeKind.REJECTED, reason="no", details={"of": [1, 2]})
    (first,) = await batches.send([request(counted("a"), boundary=of("a"), key=key, outcome=outcome)])
    await batches.send([request(counted("a"))])
    (again,) = await batches.send([request(counted("a"), boundary=of("a"), key=key)])
    assert isinstance(first, Receipt)
    assert again == first.as_duplicate()


@pytest.mark.parametrize("together", [True, False])
async def test_a_key_with_another_digest_is_refused(batches: GroupCommit, *, together: bool) -> None:
    key = uuid4()
    one, other = request(counted("a"), key=key), request(counted("b"), key=key)
    verdicts = (
        await batches.send([one, other]) if together else [*await batches.send([one]), *await batches.send([other])]
    )
    assert firsts(verdicts[:1]) == [1]
    assert isinstance(verdicts[1], IdempotencyKeyReused)
    assert verdicts[1].key == key


async def test_a_duplicate_is_one_before_its_position_is_looked_at(batches: GroupCommit) -> None:
    key, nowhere = uuid4(), Position(number=99, token=1)
    await batches.send([request(counted("a"), key=key, digest=b"d")])
    duplicate, diverged, conflict, reused = await batches.send(
        [
            request(boundary=of("a"), after=nowhere, key=key, digest=b"d"),
            request(counted("a"), boundary=of("a"), after=nowhere),
            request(counted("a"), boundary=of("a"), after=START),
            request(boundary=of("a"), after=nowhere, key=key, digest=b"other"),
        ]
    )
    assert isinstance(duplicate, Receipt)
    assert (duplicate.duplicate, duplicate.first) == (True, 1)
    assert isinstance(diverged, HistoryDiverged)
    assert isinstance(conflict, ConcurrencyConflict)
    assert isinstance(reused, IdempotencyKeyReused)


async def test_an_append_of_several_events_is_whole_among_others(
    store: PostgresEventStore, batches: GroupCommit
) -> None:
    pair = [counted("a"), Event(type="Other", payload={"Key": "a"})]
    verdicts = await batches.send([request(*pair), request(), request(*pair), request(counted("b"))])
    assert firsts(verdicts) == [1, None, 3, 5]
    assert [verdict.last for verdict in verdicts if isinstance(verdict, Receipt)] == [2, None, 4, 5]
    stream = await store.query(ANY)
    assert numbers(stream) == [1, 2, 3, 4, 5]
    assert [event.type for event in stream.events] == ["Counted", "Other", "Counted", "Other", "Counted"]
