import asyncio
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import BoundaryPart, ConcurrencyConflict, Event, EventStore, Filter, P, Receipt
from tests.support.facts import ANY, about, collected, fact, log, matching, numbers, positions


async def test_numbers_are_given_without_gaps_in_order(store: EventStore) -> None:
    one = await store.append([fact(n=1)])
    three = await store.append([fact(n=2), fact(n=3), fact(n=4)])
    assert (one.first, one.last, one.position.number) == (1, 1, 1)
    assert (three.first, three.last, three.position.number) == (2, 4, 4)
    events = await log(store)
    assert [event.payload["n"] for event in events] == [1, 2, 3, 4]
    assert [events[0].position, events[3].position] == [one.position, three.position]


async def test_an_append_without_a_key_has_a_receipt_that_is_not_kept(store: EventStore) -> None:
    receipt = await store.append([fact()])
    assert (receipt.key, receipt.recorded_at, receipt.duplicate) == (None, None, False)
    assert await collected(store.all_receipts()) == []


async def test_without_a_boundary_nothing_is_in_the_way(store: EventStore) -> None:
    for _ in range(3):
        await store.append([fact(Book="b")])
    assert await matching(store, ANY) == [1, 2, 3]


async def test_what_was_read_can_be_decided_on(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    read = await store.query(about(Book="b"))
    receipt = await store.append([fact("Returned", Book="b")], boundary=about(Book="b"), after=read.position)
    assert receipt.first == 2
    again = await store.append([fact(Book="b")], boundary=about(Book="b"), after=receipt.position)
    assert again.first == 3


async def test_a_conflict_names_the_first_event_that_was_not_read(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    read = await store.query(about(Book="b"))
    await store.append([fact(Book="c")])
    await store.append([fact("Returned", Book="b", by="first"), fact("Lent", Book="b", by="second")])
    with pytest.raises(ConcurrencyConflict, match=r"event 3 \(Returned\)") as raised:
        await store.append([fact(Book="b")], boundary=about(Book="b"), after=read.position)
    conflict = raised.value
    assert (conflict.sequence_number, conflict.event_type, conflict.metadata) == (3, "Returned", {"by": "first"})


async def test_an_event_outside_the_boundary_is_no_conflict(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    read = await store.query(about(Book="b"))
    await store.append([fact(Book="c"), fact(Reader="b")])
    receipt = await store.append([fact(Book="b")], boundary=about(Book="b"), after=read.position)
    assert receipt.first == 4


async def test_a_boundary_over_two_things_guards_both(store: EventStore) -> None:
    boundary = Filter.matching().any_predicate_of(P("Book", "b"), P("Reader", "r"))
    start, *_ = await positions(store)
    read = await store.query(boundary)
    await store.append([fact(Book="b")])
    with pytest.raises(ConcurrencyConflict):
        await store.append([fact()], boundary=boundary, after=read.position)
    read = await store.query(boundary)
    await store.append([fact(Reader="r")])
    with pytest.raises(ConcurrencyConflict) as raised:
        await store.append([fact()], boundary=boundary, after=read.position)
    assert raised.value.sequence_number == 2
    with pytest.raises(ConcurrencyConflict) as raised:
        await store.append([fact()], boundary=boundary, after=start)
    assert raised.value.sequence_number == 1


async def test_a_boundary_without_a_position_allows_no_event_at_all(store: EventStore) -> None:
    await store.append([fact(Book="c")], boundary=about(Book="b"))
    await store.append([fact(Book="b")], boundary=about(Book="b"))
    with pytest.raises(ConcurrencyConflict) as raised:
        await store.append([fact(Book="b")], boundary=about(Book="b"))
    assert raised.value.sequence_number == 2


async def test_all_events_are_recorded_or_none(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    with pytest.raises(ConcurrencyConflict):
        await store.append([fact(Book="c"), fact(Book="b"), fact(Book="d")], boundary=about(Book="b"))
    assert await matching(store, ANY) == [1]


async def test_a_refused_append_uses_no_number(store: EventStore) -> None:
    before = await store.append([fact(Book="b")])
    for _ in range(3):
        with pytest.raises(ConcurrencyConflict):
            await store.append([fact(Book="b")], boundary=about(Book="b"))
    assert (await store.query(ANY)).position == before.position
    assert (await store.append([fact()])).first == 2


async def test_an_append_of_no_events_validates_and_records_nothing(store: EventStore) -> None:
    head = (await store.append([fact(Book="b")])).position
    validated = await store.append([], boundary=about(Book="b"), after=head)
    assert (validated.first, validated.last, validated.position) == (None, None, head)
    assert await store.append([]) == validated
    with pytest.raises(ConcurrencyConflict) as raised:
        await store.append([], boundary=about(Book="b"))
    assert raised.value.sequence_number == 1
    assert (await store.query(ANY)).position == head
    assert await collected(store.all_receipts()) == []


async def test_of_those_who_read_the_same_one_wins(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    read = await store.query(about(Book="b"))
    tries = [
        store.append(
            [fact("Returned", Book="b", n=n), fact(Book="c", n=n)], boundary=about(Book="b"), after=read.position
        )
        for n in range(40)
    ]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    (winner,) = (answer for answer in answers if isinstance(answer, Receipt))
    conflicts = [answer for answer in answers if isinstance(answer, ConcurrencyConflict)]
    assert len(conflicts) == 39
    assert {conflict.sequence_number for conflict in conflicts} == {2}
    assert (winner.first, winner.last) == (2, 3)
    assert await matching(store, ANY) == [1, 2, 3]


async def test_who_lost_to_another_caller_goes_on_without_a_query(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    boundary = about(Book="b")
    read = await store.query(boundary)
    told: list[ConcurrencyConflict] = []

    async def decide(n: int) -> None:
        seen, position = [event.sequence_number for event in read.events], read.position
        while True:
            try:
                # What the decision was made of is on record with it, beside what is none of its boundary.
                await store.append(
                    [fact("Noted", n=n), fact("Returned", Book="b", seen=seen)], boundary=boundary, after=position
                )
            except ConcurrencyConflict as conflict:
                told.append(conflict)
                if conflict.unseen is None:
                    return
                seen += [event.sequence_number for event in conflict.unseen.events]
                position = conflict.unseen.position
            else:
                return

    await asyncio.gather(*map(decide, range(6)))
    assert len(told) >= 5
    found = (await store.query(boundary)).events
    assert [event.payload.get("seen") for event in found] == [
        None,
        *([event.sequence_number for event in found[:place]] for place in range(1, 7)),
    ]
    for conflict in told:
        assert conflict.unseen is not None
        first = conflict.unseen.events[0]
        assert (conflict.sequence_number, conflict.event_type) == (first.sequence_number, "Returned")
        last = conflict.unseen.position.number
        whole = [event for event in found if event.sequence_number <= last]
        assert whole[-len(conflict.unseen.events) :] == list(conflict.unseen.events)
        assert (await store.query(boundary, min_position=conflict.unseen.position)).position.number >= last


async def test_a_conflict_tells_all_that_was_not_read(store: EventStore) -> None:
    noon = datetime(2026, 1, 5, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=5)))
    read = (await store.append([fact(Book="b")])).position
    further = [
        Event(type="Returned", payload={"Book": "b", "Price": Decimal("1.50"), "Many": 10**30}, occurred_at=noon),
        fact(Book="c"),
        Event(type="Returned", payload={"Book": "b", "Text": "\u2028'\"\\"}, metadata={"by": ["me", None]}),
    ]
    await store.append(further)
    stale, beside = await asyncio.gather(
        store.append([], boundary=about(Book="b"), after=read),
        store.append([fact("Returned", Book="b")]),
        return_exceptions=True,
    )
    assert isinstance(stale, ConcurrencyConflict)
    assert isinstance(beside, Receipt)
    assert stale.unseen is not None
    whole = await store.query(about(Book="b"))
    told = len(stale.unseen.events)
    assert [event.sequence_number for event in stale.unseen.events] == [2, 4, 5][:told]
    assert told >= 2
    assert stale.unseen.events == whole.events[1 : 1 + told]
    assert stale.unseen.position == whole.events[told].position
    assert stale.unseen.events[0].occurred_at == noon
    assert stale.unseen.events[0].occurred_at.tzinfo is UTC


async def test_who_read_less_than_the_one_who_won_is_told_of_both(store: EventStore) -> None:
    boundary = about(Book="b")
    before = (await store.append([fact(Book="b")])).position
    since = (await store.append([fact("Returned", Book="b")])).position
    won, lost = await asyncio.gather(
        store.append([fact("Returned", Book="b")], boundary=boundary, after=since),
        store.append([fact("Returned", Book="b")], boundary=boundary, after=before),
        return_exceptions=True,
    )
    assert isinstance(won, Receipt)
    assert isinstance(lost, ConcurrencyConflict)
    assert lost.sequence_number == 2
    assert lost.unseen is not None
    assert [event.sequence_number for event in lost.unseen.events] == [2, 3]


async def test_what_lost_in_one_of_several_parts_reads_them_again(store: EventStore) -> None:
    position = (await store.append([fact(Book="b"), fact(Book="c")])).position
    parts = [BoundaryPart(filter=about(Book=book), after=position) for book in ("b", "c")]
    won, lost = await asyncio.gather(
        store.append([fact("Returned", Book="c")], boundary=parts),
        store.append([fact()], boundary=parts),
        return_exceptions=True,
    )
    assert isinstance(won, Receipt)
    assert isinstance(lost, ConcurrencyConflict)
    assert (lost.sequence_number, lost.event_type, lost.part, lost.unseen) == (3, "Returned", 1, None)


async def test_a_bound_beyond_the_log_leaves_out_what_others_record_at_once(store: EventStore) -> None:
    beyond = about(Book="b").narrowed_above(100)
    found = await asyncio.gather(*[store.append([fact(Book="b", n=n)], boundary=beyond) for n in range(3)])
    assert [receipt.first for receipt in found] == [1, 2, 3]


async def test_a_key_that_lost_wins_the_next_time(store: EventStore) -> None:
    position = (await store.append([fact(Book="b")])).position
    key = uuid4()

    async def append(key: UUID | None) -> Receipt:
        return await store.append([fact("Returned", Book="b")], boundary=about(Book="b"), after=position, key=key)

    won, lost, repeated = await asyncio.gather(append(None), append(key), append(key), return_exceptions=True)
    assert isinstance(won, Receipt)
    assert isinstance(lost, ConcurrencyConflict)
    assert isinstance(repeated, ConcurrencyConflict)
    assert lost.unseen is not None
    again = await store.append(
        [fact("Returned", Book="b")], boundary=about(Book="b"), after=lost.unseen.position, key=key
    )
    assert (again.first, again.duplicate) == (3, False)


async def test_those_who_decide_on_different_things_all_win(store: EventStore) -> None:
    read = await store.query(ANY)
    tries = [
        store.append([fact(Book=n), fact("Noted", Book=n)], boundary=about(Book=n), after=read.position)
        for n in range(200)
    ]
    receipts = await asyncio.gather(*tries)
    assert sorted(receipt.first or 0 for receipt in receipts) == list(range(1, 401, 2))
    events = await log(store)
    assert numbers(events) == list(range(1, 401))
    for n, receipt in enumerate(receipts):
        assert await matching(store, about(Book=n)) == [receipt.first, receipt.last]
        assert receipt.position == events[receipt.position.number - 1].position


async def test_many_events_are_one_append(store: EventStore) -> None:
    receipt = await store.append([fact(n=n) for n in range(2000)])
    assert (receipt.first, receipt.last) == (1, 2000)
    assert [event.payload["n"] for event in await log(store)] == list(range(2000))


@pytest.mark.parametrize("count", [1, 12, 13, 40])
async def test_however_many_values_a_boundary_names_each_is_looked_for(store: EventStore, count: int) -> None:
    values: list[str | int | bool | Decimal] = [f"v{place}" for place in range(count - 1)]
    for last in ("last", 7, True, Decimal("1.50")):
        boundary = Filter.matching().any_predicate_of(*(P("Book", value) for value in (*values, last)))
        read = await store.query(boundary)
        # Alike, but no match: another field, another type of value, deeper, and within a list.
        unlike = [fact(Reader=last), fact(Book=f"{last}!"), fact(Book={"Book": last}), fact(Book=[last]), fact()]
        await store.append(unlike)
        receipt = await store.append([fact(Other=1)], boundary=boundary, after=read.position)
        await store.append([fact(Book=last)])
        with pytest.raises(ConcurrencyConflict) as raised:
            await store.append([fact(Other=2)], boundary=boundary, after=receipt.position)
        assert raised.value.sequence_number == (receipt.last or 0) + 1


@pytest.mark.parametrize("count", [2, 12, 13])
async def test_all_of_many_values_must_be_met(store: EventStore, count: int) -> None:
    boundary = Filter.matching().all_predicates_of(*(P(f"f{place}", place) for place in range(count)))
    payload: dict[str, Any] = {f"f{place}": place for place in range(count)}
    read = await store.query(boundary)
    await store.append([fact(**{**payload, "f0": 9})])
    receipt = await store.append([fact(x=1)], boundary=boundary, after=read.position)
    await store.append([fact(**payload)])
    with pytest.raises(ConcurrencyConflict):
        await store.append([fact(x=2)], boundary=boundary, after=receipt.position)


async def test_a_type_is_looked_for_beside_a_few_values(store: EventStore) -> None:
    boundary = Filter.matching().any_event_type_of("Closed").or_matching().any_predicate_of(P("Book", "b"))
    for event in (fact("Closed"), fact(Book="b")):
        read = await store.query(boundary)
        await store.append([event])
        with pytest.raises(ConcurrencyConflict):
            await store.append([fact()], boundary=boundary, after=read.position)
