"""Positions that lie behind the head, far behind it, above it, or in another history."""

from uuid import uuid4

import pytest

from eventstore import START, ConcurrencyConflict, Consistency, HistoryDiverged, Position, Receipt
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.appends.appender import Appender
from eventstore.postgres.appends.batch import Behind
from tests.integration.eventstore.questions import ANY, counted, of, request
from tests.integration.eventstore.staging import head_locked
from tests.support.fixtures.databases import Database

LIMIT = 4096


@pytest.fixture
async def appender(store: PostgresEventStore) -> Appender:
    """The store's appender, after as many events of one key as may lie above a position, and one more."""
    await store.append([counted("seen")])
    await store.append([counted("noise") for _ in range(LIMIT)])
    return store._appender


async def test_an_event_just_above_the_position_is_a_conflict(store: PostgresEventStore) -> None:
    position = (await store.append([counted("a")])).position
    await store.append([counted("a")], boundary=of("a"), after=position)
    with pytest.raises(ConcurrencyConflict) as conflict:
        await store.append([counted("a")], boundary=of("a"), after=position)
    assert conflict.value.sequence_number == 2
    with pytest.raises(ConcurrencyConflict):
        await store.append([], boundary=of("a"), after=position)


async def test_a_conflict_names_the_first_event_of_several_and_its_metadata(store: PostgresEventStore) -> None:
    for number in range(3):
        event = counted("a")
        await store.append([type(event)(type="Counted", payload=event.payload, metadata={"by": number})])
    with pytest.raises(ConcurrencyConflict) as conflict:
        await store.append([], boundary=of("a"), after=START)
    assert (conflict.value.sequence_number, conflict.value.metadata) == (1, {"by": 0})


async def test_a_position_outside_this_history_is_told_from_a_conflict(store: PostgresEventStore) -> None:
    first = (await store.append([counted("a")])).position
    second = (await store.append([counted("a")])).position
    for number, token in [
        (second.number + 1, second.token),  # above the head
        (second.number, second.token + 1),  # at the head
        (first.number, second.token),  # below it
        (0, 1),
    ]:
        with pytest.raises(HistoryDiverged):
            await store.append([counted("b")], boundary=of("b"), after=Position(number=number, token=token))
    assert (await store.append([counted("b")], boundary=of("b"), after=first)).first == 3


async def test_at_the_limit_the_tail_is_searched_under_the_lock(appender: Appender) -> None:
    (seen, conflict) = await appender._batches.send(
        [
            request(boundary=of("other"), after=(await appender._reader.head(consistency=Consistency.STRONG))),
            request(counted("x"), boundary=of("noise"), after=await position_of_first(appender)),
        ]
    )
    assert isinstance(seen, Receipt)
    assert isinstance(conflict, ConcurrencyConflict)
    assert conflict.sequence_number == 2


async def position_of_first(appender: Appender) -> Position:
    stream = await appender._reader.query(of("seen"), consistency=Consistency.STRONG)
    return stream.events[0].position


async def test_beyond_the_limit_no_search_is_made_under_the_lock(appender: Appender) -> None:
    # Also where there is nothing to find, and although every event above would conflict.
    verdicts = await appender._batches.send(
        [request(boundary=of("seen"), after=START), request(boundary=of("none"), after=START)]
    )
    assert verdicts == [Behind(), Behind()]


async def test_beyond_the_limit_a_conflict_is_found_without_the_lock(appender: Appender, database: Database) -> None:
    async with head_locked(database.admin_url):
        with pytest.raises(ConcurrencyConflict) as conflict:
            await appender._catch_up(request(counted("x"), boundary=of("seen", "noise")), 0)
    assert conflict.value.sequence_number == 1


async def test_beyond_the_limit_the_first_conflict_is_the_answer(appender: Appender, store: PostgresEventStore) -> None:
    assert appender is store._appender
    with pytest.raises(ConcurrencyConflict) as conflict:
        await store.append([counted("noise")], boundary=of("noise"), after=START)
    assert conflict.value.sequence_number == 2
    with pytest.raises(ConcurrencyConflict):
        await store.append([], boundary=of("noise"), after=START)


async def test_beyond_the_limit_an_append_without_a_conflict_passes(
    appender: Appender, store: PostgresEventStore
) -> None:
    assert appender is store._appender
    key = uuid4()
    receipt = await store.append([counted("quiet")], boundary=of("quiet"), after=START, key=key)
    assert (receipt.first, receipt.duplicate) == (LIMIT + 2, False)
    assert (await store.append([counted("quiet")], boundary=of("quiet"), after=START, key=key)).duplicate


async def test_beyond_the_limit_a_position_of_another_history_is_refused(
    appender: Appender, store: PostgresEventStore
) -> None:
    await store.append([counted("more")])
    wrong = Position(number=1, token=1)
    with pytest.raises(HistoryDiverged):
        await store.append([counted("noise")], boundary=of("noise"), after=wrong)
    # And when the history was rewritten between the verdict and the search:
    for boundary in (of("noise"), of("quiet")):
        with pytest.raises(HistoryDiverged):
            await appender._catch_up(request(boundary=boundary, after=wrong), 0)
    assert len((await store.query(ANY)).events) == LIMIT + 2


async def test_a_history_that_is_rewritten_during_the_search_is_told(
    appender: Appender, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def many(*_: object, **__: object) -> None:
        """Answer as the server did before: too many match."""

    monkeypatch.setattr(appender._reader, "short", many)
    head = (await store.query(of("seen"))).position
    for wrong in (Position(number=head.number, token=head.token ^ 1), Position(number=1, token=1)):
        with pytest.raises(HistoryDiverged):
            await appender._catch_up(request(boundary=of("noise"), after=wrong), 0)
    # Nothing lies above it, so that nothing is walked.
    assert (await appender._catch_up(request(boundary=of("noise"), after=head), 0)).parts is not None
